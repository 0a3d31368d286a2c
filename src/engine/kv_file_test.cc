#include "engine/kv_file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ferrum {
namespace {

constexpr int kVocab = 100;

KvIdentity identity() {
  KvIdentity id;
  id.model = {11, 22};
  id.arithmetic = "cpu/1";
  id.dtype = DType::kI8;
  id.block_size = 4;
  id.layers = 2;
  id.kv_heads = 1;
  id.head_dim = 3;
  id.window = 0;
  id.block_bytes = 24;
  id.vocab_size = kVocab;
  return id;
}

SavedKv three_blocks(int missing = 0) {
  const KvIdentity id = identity();
  SavedKv kv;
  for (int i = 0; i < 3 * id.block_size; ++i) kv.tokens.push_back(7 * i % kVocab);
  kv.missing = missing;
  kv.blocks.resize(static_cast<size_t>(3 - missing) * SavedKv::stride(id));
  for (int b = missing; b < 3; ++b) {
    for (int i = 0; i < id.block_bytes; ++i) kv.block(b, id)[i] = static_cast<std::byte>(40 * b + i);
  }
  return kv;
}

class KvFileTest : public ::testing::Test {
 protected:
  ~KvFileTest() override { std::filesystem::remove(path_); }

  std::string saved(SavedKv kv) {
    EXPECT_TRUE(write_kv_file(path_, identity(), "salt", kv).is_ok());
    std::ostringstream all;
    all << std::ifstream(path_, std::ios::binary).rdbuf();
    return all.str();
  }
  static Result<SavedKv> parse(const std::string& bytes, const KvIdentity& id = identity(),
                               const std::string& owner = "salt", int64_t max_blocks = 1000) {
    size_t at = 0;
    const auto source = [&](std::span<std::byte> to) {
      if (to.size() > bytes.size() - at) return false;
      std::memcpy(to.data(), bytes.data() + at, to.size());
      at += to.size();
      return true;
    };
    return read_kv(source, bytes.size(), id, owner, max_blocks);
  }
  static void expect_refused(const Result<SavedKv>& kv, StatusCode code, const std::string& why) {
    ASSERT_FALSE(kv.is_ok()) << why;
    EXPECT_EQ(kv.status().code(), code) << kv.status().message();
    EXPECT_NE(kv.status().message().find(why), std::string::npos) << kv.status().message();
  }
  // Changes a number of the header, and makes the header's checksum right again.
  template <typename T>
  static std::string with(std::string bytes, size_t offset, T value) {
    std::memcpy(bytes.data() + offset, &value, sizeof(T));
    const uint64_t sum = siphash128(std::as_bytes(std::span(bytes)).first(144), {0, 0}).low;
    std::memcpy(bytes.data() + 144, &sum, sizeof(sum));
    return bytes;
  }

  const std::string path_ = testing::TempDir() + "ferrum_kv_file.kv";
};

TEST_F(KvFileTest, WhatWasSavedIsReadBack) {
  for (const int missing : {0, 2}) {
    const SavedKv kv = three_blocks(missing);
    const std::string bytes = saved(kv);
    EXPECT_EQ(bytes.size(), 152 + 12 * 4 + static_cast<size_t>(3 - missing) * (24 + 8));
    const auto read = read_kv_file(path_, identity(), "salt", 3);
    ASSERT_TRUE(read.is_ok()) << read.status().message();
    EXPECT_EQ(read->tokens, kv.tokens);
    EXPECT_EQ(read->missing, missing);
    for (int b = missing; b < 3; ++b)
      EXPECT_EQ(std::memcmp(read->block(b, identity()), kv.block(b, identity()), 24), 0) << "block " << b;
  }
}

// The offsets of docs/kv-file.md.
TEST_F(KvFileTest, TheFormatIsAsDocumented) {
  const std::string bytes = saved(three_blocks(1));
  const auto number = [&](size_t offset, auto value) {
    decltype(value) there;
    std::memcpy(&there, bytes.data() + offset, sizeof(there));
    EXPECT_EQ(there, value) << "offset " << offset;
  };
  EXPECT_EQ(bytes.substr(0, 8), "FERRUMKV");
  number(8, uint32_t{1});
  number(12, uint32_t{152});
  number(16, uint64_t{11});
  number(24, uint64_t{22});
  EXPECT_EQ(bytes.substr(48, 32), "cpu/1" + std::string(27, '\0'));
  const uint32_t sizes[] = {24 /* I8 */, 4, 2, 1, 3, 0};
  for (size_t i = 0; i < 6; ++i) number(80 + 4 * i, sizes[i]);
  number(104, uint64_t{24});
  number(112, uint64_t{3});
  number(120, uint64_t{1});
  number(152 + 4, TokenId{7});
  const auto all = std::as_bytes(std::span(bytes));
  number(128, siphash128(all.subspan(152, 48), {1, 0}).low);
  number(136, uint64_t{0});
  number(144, siphash128(all.first(144), {0, 0}).low);
  number(152 + 48 + 24, siphash128(all.subspan(152 + 48, 24), {3, 0}).low);
}

TEST_F(KvFileTest, EveryFlippedBitIsFound) {
  const std::string bytes = saved(three_blocks());
  for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string flipped = bytes;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    ASSERT_FALSE(parse(flipped).is_ok()) << "bit " << bit;
  }
}

TEST_F(KvFileTest, EveryCutIsFoundAndSoAreBytesTooMany) {
  const std::string bytes = saved(three_blocks());
  for (size_t size = 0; size < bytes.size(); ++size)
    expect_refused(parse(bytes.substr(0, size)), StatusCode::kCorrupt, "it was cut");
  expect_refused(parse(bytes + "x"), StatusCode::kCorrupt, "too many");
}

TEST_F(KvFileTest, BlocksThatChangedPlacesAreFound) {
  std::string bytes = saved(three_blocks());
  const size_t first = 152 + 48;
  std::swap_ranges(bytes.begin() + first, bytes.begin() + first + 32, bytes.begin() + first + 32);
  expect_refused(parse(bytes), StatusCode::kCorrupt, "block 0 of 3 is damaged");
}

TEST_F(KvFileTest, AFileOfAnotherModelSettingOrOwnerIsRefusedByName) {
  const std::string bytes = saved(three_blocks());
  const auto refused = [&](auto change, const std::string& why) {
    KvIdentity other = identity();
    change(other);
    expect_refused(parse(bytes, other), StatusCode::kInvalidArgument, why);
  };
  refused([](KvIdentity& id) { id.model.high = 23; }, "another model");
  refused([](KvIdentity& id) { id.arithmetic = "cpu/2"; }, "the arithmetic 'cpu/1', here it is 'cpu/2'");
  refused([](KvIdentity& id) { id.dtype = DType::kF16; }, "KV of type I8, here it is F16");
  refused([](KvIdentity& id) { id.block_size = 8; }, "the block size 4, here it is 8");
  refused([](KvIdentity& id) { id.layers = 3; }, "layers");
  refused([](KvIdentity& id) { id.kv_heads = 2; }, "KV heads");
  refused([](KvIdentity& id) { id.head_dim = 4; }, "head 3");
  refused([](KvIdentity& id) { id.window = 9; }, "window 0, here it is 9");
  refused([](KvIdentity& id) { id.block_bytes = 25; }, "bytes of a block");
  expect_refused(parse(bytes, identity(), "pepper"), StatusCode::kInvalidArgument, "another owner");
  expect_refused(parse(with(bytes, 8, uint32_t{2})), StatusCode::kInvalidArgument, "version 2");
  expect_refused(parse(bytes, identity(), "salt", 2), StatusCode::kCapacity, "3 blocks; this KV cache has 2");
}

// With right checksums, so that the checks behind them are met.
TEST_F(KvFileTest, SizesThatCannotBeAreRefusedBeforeMemoryIsTaken) {
  const std::string bytes = saved(three_blocks());
  constexpr size_t kBlocks = 112, kMissing = 120;
  constexpr int64_t kAny = INT64_MAX;
  for (const uint64_t huge : {uint64_t{1} << 31, uint64_t{1} << 60, UINT64_MAX, UINT64_MAX / 16 + 2}) {
    const auto read = parse(with(bytes, kBlocks, huge));
    EXPECT_EQ(read.status().code(), StatusCode::kCapacity) << huge;
  }
  expect_refused(parse(with(bytes, kBlocks, uint64_t{4}), identity(), "salt", kAny), StatusCode::kCorrupt,
                 "it was cut");
  expect_refused(parse(with(bytes, kBlocks, uint64_t{2})), StatusCode::kCorrupt, "too many");
  expect_refused(parse(with(bytes, kBlocks, uint64_t{0})), StatusCode::kCorrupt, "missing");
  for (const uint64_t missing : {uint64_t{3}, uint64_t{4}, UINT64_MAX})
    expect_refused(parse(with(bytes, kMissing, missing)), StatusCode::kCorrupt, "missing");
}

TEST_F(KvFileTest, TokensOutsideTheVocabularyAreRefused) {
  for (const TokenId token : {-1, kVocab}) {
    SavedKv kv = three_blocks();
    kv.tokens[5] = token;
    expect_refused(parse(saved(kv)), StatusCode::kCorrupt, "token id " + std::to_string(token));
  }
}

TEST_F(KvFileTest, WhatIsNoFileIsRefusedWithItsName) {
  expect_refused(read_kv_file(path_ + ".absent", identity(), "", 9), StatusCode::kNotFound, "absent");
  expect_refused(read_kv_file(testing::TempDir(), identity(), "", 9), StatusCode::kInvalidArgument, "regular file");
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);  // nobody will ever write into it
  expect_refused(read_kv_file(path_, identity(), "", 9), StatusCode::kInvalidArgument, "regular file");
  std::filesystem::remove(path_);
  std::ofstream(path_) << std::string(500, 'x');
  expect_refused(read_kv_file(path_, identity(), "", 9), StatusCode::kCorrupt, "not a KV file");
  SavedKv kv = three_blocks();
  EXPECT_EQ(write_kv_file("/nonexistent/file", identity(), "", kv).code(), StatusCode::kIo);
}

TEST(ModelFingerprint, TellsModelsApartAndIsOfTheContent) {
  const std::string models = std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/";
  const auto fingerprint = [&](const std::string& path) { return model_fingerprint(**Gguf::open(path)); };
  const PrefixHash llama = fingerprint(models + "llama3.gguf");
  EXPECT_NE(llama, fingerprint(models + "llama_linear.gguf"));
  EXPECT_NE(llama, fingerprint(models + "qwen2.gguf"));
  const std::string copy = testing::TempDir() + "ferrum_fingerprint.gguf";
  std::filesystem::copy_file(models + "llama3.gguf", copy, std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(llama, fingerprint(copy));
  std::fstream(copy, std::ios::in | std::ios::out | std::ios::binary).seekp(-3, std::ios::end).put('\x55');
  EXPECT_NE(llama, fingerprint(copy)) << "the end of the last tensor changed";
  std::filesystem::remove(copy);
}

}  // namespace
}  // namespace ferrum
