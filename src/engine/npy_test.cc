#include "engine/npy.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

namespace ferrum {
namespace {

std::string temporary(const std::string& name) { return (std::filesystem::path(testing::TempDir()) / name).string(); }

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Byte for byte what numpy.save writes for float32 [[1, 2, 3], [4, 5, 6]].
TEST(Npy, BytesAreNumPys) {
  const std::string path = temporary("ferrum_npy_test.npy");
  auto file = NpyWriter::create(path, 2, 3);
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  ASSERT_TRUE(file->write_row(std::vector<float>{1, 2, 3}).is_ok());
  ASSERT_TRUE(file->write_row(std::vector<float>{4, 5, 6}).is_ok());
  ASSERT_TRUE(file->finish().is_ok());

  const std::string bytes = contents(path);
  ASSERT_EQ(bytes.size(), 128u + 6 * sizeof(float));
  EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
  const std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
  EXPECT_EQ(bytes.substr(10, dictionary.size()), dictionary);
  EXPECT_EQ(bytes.substr(10 + dictionary.size(), 118 - dictionary.size()),
            std::string(117 - dictionary.size(), ' ') + "\n");
  float values[6];
  std::memcpy(values, bytes.data() + 128, sizeof values);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(values[i], static_cast<float>(i + 1));
  std::filesystem::remove(path);
}

TEST(Npy, HeaderStaysAlignedForEveryLength) {
  const std::string path = temporary("ferrum_npy_align_test.npy");
  for (int64_t cols : {int64_t{1}, int64_t{12345}, int64_t{1} << 40, int64_t{1} << 60}) {
    auto file = NpyWriter::create(path, 0, cols);
    ASSERT_TRUE(file.is_ok());
    ASSERT_TRUE(file->finish().is_ok());
    const std::string bytes = contents(path);
    EXPECT_EQ(bytes.size() % 64, 0u);
    EXPECT_EQ(bytes.back(), '\n');
    EXPECT_EQ(static_cast<unsigned char>(bytes[8]) + 256u * static_cast<unsigned char>(bytes[9]) + 10, bytes.size());
  }
  std::filesystem::remove(path);
}

TEST(Npy, FailuresNameThePathAndTheReason) {
  const auto nowhere = NpyWriter::create("/no/such/folder/x.npy", 1, 1);
  ASSERT_FALSE(nowhere.is_ok());
  EXPECT_EQ(nowhere.status().code(), StatusCode::kIo);
  EXPECT_NE(nowhere.status().message().find("/no/such/folder/x.npy"), std::string::npos);
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full to write to";
  auto full = NpyWriter::create("/dev/full", 1, 1);
  ASSERT_TRUE(full.is_ok());
  ASSERT_TRUE(full->write_row(std::vector<float>{1}).is_ok());  // buffered
  const Status status = full->finish();
  EXPECT_EQ(status.code(), StatusCode::kIo) << status.message();
}

}  // namespace
}  // namespace ferrum
