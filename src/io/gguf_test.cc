#include "io/gguf.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>

#include "io/gguf_bytes_for_test.h"
#include "io/gguf_split.h"
#include "io/gguf_writer.h"
#include "io/mmap.h"

namespace ferrum {
namespace {

const std::string kShared = FERRUM_SOURCE_DIR "/../shared/testdata";

TEST(MappedFile, SaysWhatIsWrongWithAPath) {
  EXPECT_EQ(MappedFile::open("/no/such/file.gguf").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(MappedFile::open("/tmp").status().message(), "'/tmp' is a directory, not a file");
  EXPECT_EQ(MappedFile::open("/dev/null").status().code(), StatusCode::kInvalidArgument);
  const std::string empty = testing::TempDir() + "ferrum_empty.gguf";
  std::ofstream(empty).flush();
  EXPECT_EQ(MappedFile::open(empty).status().code(), StatusCode::kCorrupt);
  std::filesystem::remove(empty);
}

TEST(MappedFile, DoesNotWaitForAPipe) {
  const std::string pipe = testing::TempDir() + "ferrum_pipe.gguf";
  std::filesystem::remove(pipe);
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(MappedFile::open(pipe).status().code(), StatusCode::kInvalidArgument);
  std::filesystem::remove(pipe);
}

TEST(MappedFile, Moves) {
  const std::string path = testing::TempDir() + "ferrum_moves.bin";
  std::ofstream(path) << "abc";
  MappedFile a = std::move(MappedFile::open(path)).value();
  MappedFile b = std::move(a);
  EXPECT_EQ(b.bytes().size(), 3u);
  EXPECT_EQ(a.bytes().size(), 0u);  // NOLINT: moved-from on purpose
  a = std::move(b);
  EXPECT_EQ(a.bytes()[2], std::byte{'c'});
  std::filesystem::remove(path);
}

TEST(Gguf, ReadsVersionTwoAndAnEmptyFile) {
  const auto v2 = RawGguf()
                      .header(1, 1, 2)
                      .key("k", GgufType::kUint32)
                      .number(7u)
                      .tensor("w", {4, 2}, 0, 0)
                      .align()
                      .zeros(32)
                      .open();
  ASSERT_TRUE(v2.is_ok()) << v2.status().message();
  EXPECT_EQ((*v2)->version(), 2u);
  EXPECT_EQ(describe((*v2)->find_tensor("w")->view), "[2, 4] F32");
  EXPECT_TRUE(RawGguf().header(0, 0).open().is_ok());
}

TEST(Gguf, AScalarTensorIsAVectorOfOne) {
  const auto file = RawGguf().header(1, 0).tensor("s", {}, 0, 0).align().zeros(4).open();
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  EXPECT_EQ(describe((*file)->find_tensor("s")->view), "[1] F32");
}

TEST(Gguf, TypedLookups) {
  const auto file = RawGguf()
                        .header(0, 6)
                        .key("u", GgufType::kUint8)
                        .number<uint8_t>(200)
                        .key("i", GgufType::kInt8)
                        .number<int8_t>(-3)
                        .key("big", GgufType::kUint64)
                        .number(~uint64_t{0})
                        .key("f", GgufType::kFloat32)
                        .number(0.5f)
                        .array("bools", GgufType::kBool, 2)
                        .number<uint16_t>(0x0001)
                        .array("none", GgufType::kString, 0)
                        .open();
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  const Gguf& g = **file;
  EXPECT_EQ(g.get_int("u").value(), 200);
  EXPECT_EQ(g.get_int("i").value(), -3);
  EXPECT_EQ(g.get_float("f").value(), 0.5);
  EXPECT_EQ(g.get_int("absent").value(), std::nullopt);
  EXPECT_EQ(g.get_strings("absent").value(), nullptr);
  EXPECT_EQ(g.get_strings("none").value()->size(), 0u);
  EXPECT_EQ(g.find("bools")->array_size(), 2u);
  EXPECT_EQ(g.get_int("big").status().code(), StatusCode::kCorrupt);
  EXPECT_EQ(g.get_int("f").status().message(), "metadata key 'f' must be an integer but is float32");
  EXPECT_EQ(g.get_float("u").status().message(), "metadata key 'u' must be a float but is uint8");
  EXPECT_EQ(g.get_ints("none").status().message(),
            "metadata key 'none' must be an array of integers but is array of string");
  EXPECT_FALSE(g.get_bool("u").is_ok());
  EXPECT_FALSE(g.get_string("u").is_ok());
  EXPECT_FALSE(g.get_strings("u").is_ok());
  EXPECT_FALSE(g.get_floats("bools").is_ok());
}

TEST(Gguf, SplitNames) {
  const auto name = parse_split_name("/m/Big-Q4_K-00002-of-00010.gguf");
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->prefix, "/m/Big-Q4_K");
  EXPECT_EQ(name->number, 1);
  EXPECT_EQ(name->count, 10);
  EXPECT_EQ(make_split_name(name->prefix, name->number, name->count), "/m/Big-Q4_K-00002-of-00010.gguf");
  for (const char* bad : {"", "a.gguf", "a-00000-of-00002.gguf", "a-00003-of-00002.gguf", "a-0001-of-0002.gguf",
                          "a--0001-of-00002.gguf", "a-00001-of-00002.bin", "a-0000x-of-00002.gguf"}) {
    EXPECT_FALSE(parse_split_name(bad).has_value()) << bad;
  }
}

// One part of a split model in memory: `tensor` of 8 floats, or none if empty.
struct PartFields {
  uint16_t number = 0, count = 2;
  int32_t tensors = 2;
  std::string tensor;
};
std::vector<std::byte> part_bytes(const PartFields& f) {
  RawGguf file;
  file.header(f.tensor.empty() ? 0 : 1, 3);
  file.key("split.no", GgufType::kUint16).number(f.number).key("split.count", GgufType::kUint16).number(f.count);
  file.key("split.tensors.count", GgufType::kInt32).number(f.tensors);
  if (!f.tensor.empty()) file.tensor(f.tensor, {8}, 0, 0).align().zeros(32);
  return file.bytes();
}
Result<std::shared_ptr<const Gguf>> open_parts(const std::vector<PartFields>& parts) {
  std::vector<GgufSource> sources;
  for (const PartFields& part : parts) sources.push_back(GgufSource::from_vector("part", part_bytes(part)));
  return Gguf::from_sources(std::move(sources));
}

TEST(Gguf, SplitsMustFitTogether) {
  EXPECT_TRUE(open_parts({{0, 2, 2, "a"}, {1, 2, 2, "b"}}).is_ok());
  EXPECT_TRUE(open_parts({{0, 2, 1, ""}, {1, 2, 1, "b"}}).is_ok());  // the first part may have metadata only
  const auto refused = [](const std::vector<PartFields>& parts, std::string_view why) {
    const auto opened = open_parts(parts);
    ASSERT_FALSE(opened.is_ok()) << why;
    EXPECT_NE(opened.status().message().find(why), std::string::npos) << opened.status().message();
  };
  refused({{0, 2, 2, "a"}}, "was found as part 1 of 1");
  refused({{0, 2, 2, "a"}, {0, 2, 2, "b"}}, "says it is part 1 of 2");
  refused({{1, 2, 2, "a"}, {0, 2, 2, "b"}}, "says it is part 2 of 2");
  refused({{0, 2, 2, "a"}, {1, 3, 2, "b"}}, "says it is part 2 of 3");
  refused({{0, 2, 2, "a"}, {1, 2, 2, "a"}}, "tensor 'a' is in an earlier part");
  refused({{0, 2, 2, "a"}, {1, 2, 3, "b"}}, "different models");
  refused({{0, 2, 3, "a"}, {1, 2, 3, "b"}}, "announces 3 tensors");
  refused({{2, 2, 2, "a"}}, "split.no is 2");
  refused({{0, 65535, 2, "a"}}, "split.count is 65535");
}

TEST(Gguf, SplitFilesThatAreMissingOrMisnamed) {
  const std::string dir = testing::TempDir() + "ferrum_splits/";
  std::filesystem::create_directories(dir);
  const auto write = [&dir](const std::string& name, const PartFields& fields) {
    const auto bytes = part_bytes(fields);
    std::ofstream(dir + name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return Gguf::open(dir + name).status();
  };
  const Status missing = write("m-00001-of-00002.gguf", {0, 2, 2, "a"});
  EXPECT_EQ(missing.code(), StatusCode::kNotFound);
  EXPECT_NE(missing.message().find("part 2 of 2"), std::string::npos) << missing.message();
  EXPECT_NE(missing.message().find("m-00002-of-00002.gguf"), std::string::npos) << missing.message();
  EXPECT_TRUE(write("m-00002-of-00002.gguf", {1, 2, 2, "b"}).is_ok());
  EXPECT_TRUE(Gguf::open(dir + "m-00001-of-00002.gguf").is_ok());

  const Status misnamed = write("renamed.gguf", {0, 2, 2, "a"});
  EXPECT_NE(misnamed.message().find("NAME-00001-of-00002.gguf"), std::string::npos) << misnamed.message();
  EXPECT_FALSE(write("m-00001-of-00003.gguf", {0, 2, 2, "a"}).is_ok());

  std::ofstream(dir + "x-00001-of-00002.gguf", std::ios::binary)
      .write("GGUF\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 24);
  const Status unsplit = Gguf::open(dir + "x-00001-of-00002.gguf").status();
  EXPECT_NE(unsplit.message().find("no split.count"), std::string::npos) << unsplit.message();
  std::filesystem::remove_all(dir);
}

// A vocabulary as large as real ones opens in well under 50 ms (measured: see docs/formats.md). The bound leaves room
// for sanitizers and busy machines.
TEST(Gguf, LargeVocabulariesOpenFast) {
  constexpr size_t kTokens = 250'000, kMerges = 500'000;
  std::vector<std::string> tokens, merges;
  for (size_t i = 0; i < kTokens; ++i) tokens.push_back("token" + std::to_string(i));
  for (size_t i = 0; i < kMerges; ++i) merges.push_back("tok" + std::to_string(i) + " en" + std::to_string(i));
  GgufWriter writer;
  writer.set_strings("tokenizer.ggml.tokens", std::move(tokens));
  writer.set_strings("tokenizer.ggml.merges", std::move(merges));
  writer.set_float32s("tokenizer.ggml.scores", std::vector<float>(kTokens));
  writer.set_int32s("tokenizer.ggml.token_type", std::vector<int32_t>(kTokens, 1));
  std::vector<GgufSource> sources;
  sources.push_back(GgufSource::from_vector("vocabulary.gguf", writer.to_bytes().value()));
  const auto begin = std::chrono::steady_clock::now();
  const auto file = Gguf::from_sources(std::move(sources));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  EXPECT_EQ((*file)->get_strings("tokenizer.ggml.tokens").value()->at(249'999), "token249999");
  RecordProperty("milliseconds", std::to_string(took.count()));
  EXPECT_LT(took.count(), 2000);
}

TEST(Gguf, RealModel) {
  const std::string path = kShared + "/models/stories260K/stories260K.gguf";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto file = Gguf::open(path);
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  EXPECT_EQ((*file)->get_string("general.architecture").value(), "llama");
  EXPECT_EQ((*file)->get_int("llama.block_count").value(), 5);
  EXPECT_EQ((*file)->get_strings("tokenizer.ggml.tokens").value()->size(), 512u);
  EXPECT_EQ((*file)->file_bytes(), 1185376u);
  EXPECT_EQ(describe((*file)->find_tensor("blk.0.ffn_up.weight")->view), "[172, 64] F32");
}

TEST(Gguf, RealVocabularies) {
  const std::string dir = kShared + "/tokenizers/llama.cpp-vocab";
  if (!std::filesystem::exists(dir)) GTEST_SKIP() << dir << " is absent";
  int opened = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    if (entry.path().extension() != ".gguf") continue;
    const auto file = Gguf::open(entry.path().string());
    ASSERT_TRUE(file.is_ok()) << file.status().message();
    EXPECT_GT((*file)->get_strings("tokenizer.ggml.tokens").value()->size(), 30'000u);
    EXPECT_TRUE((*file)->tensors().empty());
    ++opened;
  }
  EXPECT_EQ(opened, 6);
}

}  // namespace
}  // namespace ferrum
