#include "io/gguf_writer.h"

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <numeric>

#include "io/gguf.h"
#include "io/mmap.h"

namespace ferrum {
namespace {

const std::string kGolden = FERRUM_SOURCE_DIR "/tests/data/gguf/every_type.gguf";

GgufValue array_of(GgufType element, auto values) { return {GgufType::kArray, element, std::move(values)}; }

// The content of tools/make_gguf_golden.py.
struct Content {
  std::vector<float> matrix = std::vector<float>(12);
  std::vector<uint16_t> half = {0x0000, 0x3c00, 0x4000, 0x4200, 0x4400};
  std::vector<int16_t> cube = std::vector<int16_t>(24);
  std::vector<int8_t> deep = std::vector<int8_t>(16);
  std::vector<uint8_t> blocks = std::vector<uint8_t>(2 * 2 * 34);
  GgufWriter writer;

  Content() {
    std::iota(matrix.begin(), matrix.end(), 0.0f);
    std::iota(cube.begin(), cube.end(), int16_t{0});
    std::iota(deep.begin(), deep.end(), int8_t{0});
    std::iota(blocks.begin(), blocks.end(), uint8_t{0});
    writer.set_string("general.architecture", "test");
    writer.set_uint32("general.alignment", 64);
    const std::pair<GgufType, uint64_t> unsigned_values[] = {{GgufType::kUint8, 200},
                                                             {GgufType::kUint16, 60000},
                                                             {GgufType::kUint32, 4000000000},
                                                             {GgufType::kUint64, ~0ull}};
    const std::pair<GgufType, int64_t> signed_values[] = {{GgufType::kInt8, -100},
                                                          {GgufType::kInt16, -30000},
                                                          {GgufType::kInt32, -2000000000},
                                                          {GgufType::kInt64, std::numeric_limits<int64_t>::min()}};
    for (const bool array : {false, true}) {
      const auto set = [&](GgufType type, auto value) {
        const std::string name = (array ? "array." : "scalar.") + std::string(to_string(type));
        if (array)
          writer.set(name, array_of(type, std::vector<decltype(value)>(3, value)));
        else
          writer.set(name, {type, {}, value});
      };
      for (int i = 0; i < 4; ++i) {
        set(unsigned_values[i].first, unsigned_values[i].second);
        set(signed_values[i].first, signed_values[i].second);
      }
      set(GgufType::kFloat32, 0.15625);
      set(GgufType::kFloat64, 0.1);
      set(GgufType::kBool, true);
      set(GgufType::kString, std::string("größe ✓"));
    }
    add("matrix", ConstView(matrix.data(), DType::kF32, {3, 4}));
    add("half", ConstView(half.data(), DType::kF16, {5}));
    add("cube", ConstView(cube.data(), DType::kI16, {2, 3, 4}));
    add("deep", ConstView(deep.data(), DType::kI8, {2, 2, 2, 2}));
    add("blocks", ConstView(blocks.data(), DType::kQ8_0, {2, 64}));
  }
  void add(const std::string& name, const ConstView& view) {
    const Status added = writer.add_tensor(name, view);
    EXPECT_TRUE(added.is_ok()) << added.message();
  }
};

void expect_same_content(const Gguf& file, const Content& content) {
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.alignment(), 64u);
  ASSERT_EQ(file.tensors().size(), 5u);
  EXPECT_EQ(describe(file.find_tensor("cube")->view), "[2, 3, 4] I16");
  EXPECT_EQ(describe(file.find_tensor("blocks")->view), "[2, 64] Q8_0");
  EXPECT_EQ(describe(file.find_tensor("half")->view), "[5] F16");
  EXPECT_EQ(describe(file.find_tensor("deep")->view), "[2, 2, 2, 2] I8");
  const auto same = [&file](const char* name, const void* data, size_t bytes) {
    const GgufTensor* tensor = file.find_tensor(name);
    EXPECT_EQ(tensor->bytes, bytes) << name;
    EXPECT_EQ(std::memcmp(tensor->view.data, data, bytes), 0) << name;
  };
  same("matrix", content.matrix.data(), 48);
  same("half", content.half.data(), 10);
  same("cube", content.cube.data(), 48);
  same("deep", content.deep.data(), 16);
  same("blocks", content.blocks.data(), 136);
}

// The independent implementation wrote the golden; equal bytes mean that it reads what we write.
TEST(GgufWriter, WritesTheBytesThePythonPackageWrites) {
  const auto golden = MappedFile::open(kGolden);
  ASSERT_TRUE(golden.is_ok()) << golden.status().message();
  const auto written = Content().writer.to_bytes();
  ASSERT_TRUE(written.is_ok()) << written.status().message();
  ASSERT_EQ(written->size(), golden->bytes().size());
  for (size_t i = 0; i < written->size(); ++i) ASSERT_EQ((*written)[i], golden->bytes()[i]) << "byte " << i;
}

TEST(GgufWriter, TheReaderReadsTheGolden) {
  const auto file = Gguf::open(kGolden);
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  expect_same_content(**file, Content());
  EXPECT_EQ((*file)->keys().size(), 26u);
  EXPECT_EQ((*file)->get_int("scalar.uint8").value(), 200);
  EXPECT_EQ((*file)->get_int("scalar.int16").value(), -30000);
  EXPECT_EQ((*file)->get_int("scalar.int64").value(), std::numeric_limits<int64_t>::min());
  EXPECT_EQ((*file)->get_float("scalar.float64").value(), 0.1);
  EXPECT_EQ((*file)->get_bool("scalar.bool").value(), true);
  EXPECT_EQ((*file)->get_string("scalar.string").value(), "größe ✓");
  EXPECT_EQ((*file)->get_strings("array.string").value()->at(2), "größe ✓");
  EXPECT_EQ((*file)->get_ints("array.int8").value(), std::vector<int64_t>(3, -100));
  EXPECT_EQ((*file)->get_floats("array.float32").value(), std::vector<double>(3, 0.15625));
}

// What Python reads, as far as a Python with the gguf package is at hand.
TEST(GgufWriter, ThePythonPackageReadsOurFile) {
  std::string python;
  for (const std::string candidate : {"/opt/fv/bin/python", FERRUM_SOURCE_DIR "/.venv/bin/python", "python3"}) {
    if (std::system((candidate + " -c 'import gguf' >/dev/null 2>&1").c_str()) == 0) {
      python = candidate;
      break;
    }
  }
  if (python.empty()) GTEST_SKIP() << "no Python with the gguf package (pip install gguf)";
  const std::string path = testing::TempDir() + "ferrum_python_reads.gguf";
  ASSERT_TRUE(Content().writer.write(path).is_ok());
  const std::string script =
      "import sys, gguf; r = gguf.GGUFReader(sys.argv[1]); t = {x.name: x for x in r.tensors}; "
      "assert r.fields['scalar.int32'].contents() == -2000000000; "
      "assert r.fields['array.string'].contents() == ['größe ✓'] * 3; "
      "assert t['cube'].data.tolist()[1][2] == [20, 21, 22, 23]; "
      "assert t['blocks'].tensor_type.name == 'Q8_0' and t['blocks'].data.tobytes() == bytes(range(136))";
  EXPECT_EQ(std::system((python + " -c \"" + script + "\" " + path).c_str()), 0);
  std::filesystem::remove(path);
}

TEST(GgufWriter, RoundTripsThroughAFile) {
  const std::string path = testing::TempDir() + "ferrum_round_trip.gguf";
  const Content content;
  ASSERT_TRUE(content.writer.write(path).is_ok());
  const auto file = Gguf::open(path);
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  expect_same_content(**file, content);

  GgufWriter copy;  // metadata read and written again stay the same
  copy.copy_metadata(**file);
  for (const GgufTensor& tensor : (*file)->tensors()) ASSERT_TRUE(copy.add_tensor(tensor.name, tensor.view).is_ok());
  EXPECT_EQ(copy.to_bytes().value(), content.writer.to_bytes().value());
  std::filesystem::remove(path);
}

TEST(GgufWriter, SplitsAndAnyPartOpensTheWhole) {
  const std::string prefix = testing::TempDir() + "ferrum_split";
  const Content content;
  const auto paths = content.writer.write_split(prefix, 64);
  ASSERT_TRUE(paths.is_ok()) << paths.status().message();
  ASSERT_EQ(paths->size(), 3u);  // 48 + 10, 48 + 16, 136
  EXPECT_EQ((*paths)[1], prefix + "-00002-of-00003.gguf");
  for (const std::string& path : *paths) {
    const auto file = Gguf::open(path);
    ASSERT_TRUE(file.is_ok()) << file.status().message();
    expect_same_content(**file, content);
    EXPECT_EQ((*file)->parts(), 3);
    EXPECT_EQ((*file)->path(), (*paths)[0]);
    EXPECT_EQ((*file)->find_tensor("blocks")->part, 2);
    EXPECT_EQ((*file)->get_string("scalar.string").value(), "größe ✓");
  }
  for (const std::string& path : *paths) std::filesystem::remove(path);
}

TEST(GgufWriter, RefusesWhatTheReaderWouldRefuse) {
  const float data[64] = {};
  GgufWriter w;
  EXPECT_FALSE(w.add_tensor("", ConstView(data, DType::kF32, {4})).is_ok());
  EXPECT_FALSE(w.add_tensor("empty", ConstView(data, DType::kF32, {4, 0})).is_ok());
  EXPECT_FALSE(w.add_tensor("scalar", ConstView(data, DType::kF32, {})).is_ok());
  EXPECT_FALSE(w.add_tensor("ragged", ConstView(data, DType::kQ4_0, {2, 16})).is_ok());
  EXPECT_FALSE(w.add_tensor("strided", ConstView(data, DType::kF32, {4, 8}).columns(0, 4)).is_ok());
  EXPECT_TRUE(w.add_tensor("w", ConstView(data, DType::kF32, {4})).is_ok());
  EXPECT_FALSE(w.add_tensor("w", ConstView(data, DType::kF32, {4})).is_ok());
}

TEST(GgufWriter, RefusesValuesThatDoNotFitTheirType) {
  const GgufValue wrong[] = {{GgufType::kUint8, {}, uint64_t{256}},
                             {GgufType::kInt8, {}, int64_t{-129}},
                             {GgufType::kInt8, {}, uint64_t{1}},
                             {GgufType::kString, {}, true},
                             {GgufType::kFloat32, {}, 1e300},
                             {GgufType::kUint32, {}, std::vector<uint64_t>{1}},
                             {GgufType::kArray, GgufType::kUint16, std::vector<uint64_t>{1, 65536}},
                             {GgufType::kArray, GgufType::kString, std::vector<double>{1}},
                             {GgufType::kArray, GgufType::kArray, std::vector<double>{1}}};
  for (const GgufValue& value : wrong) {
    GgufWriter w;
    w.set("some.key", value);
    const auto bytes = w.to_bytes();
    ASSERT_FALSE(bytes.is_ok()) << value.type_name();
    EXPECT_NE(bytes.status().message().find("'some.key'"), std::string::npos);
  }
  GgufWriter w;
  w.set_uint32("general.alignment", 12);
  EXPECT_FALSE(w.to_bytes().is_ok());
  GgufWriter split;
  split.set_uint32("split.count", 2);
  EXPECT_FALSE(split.to_bytes().is_ok());
}

TEST(GgufWriter, AFailedWriteLeavesNothingBehind) {
  const Status status = Content().writer.write("/nonexistent-directory/model.gguf");
  EXPECT_EQ(status.code(), StatusCode::kIo);
  EXPECT_NE(status.message().find("/nonexistent-directory"), std::string::npos);
}

}  // namespace
}  // namespace ferrum
