// compute_logits and write_logits_npy: the same numbers as the goldens, and errors for what a user can get wrong.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "engine/engine.h"
#include "engine/logits_file.h"

namespace ferrum {
namespace {

const std::string kModel = std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/qwen3";

template <typename T>
std::vector<T> read_array(const std::string& path, size_t skip = 0) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  std::vector<T> values((bytes.size() - skip) / sizeof(T));
  std::memcpy(values.data(), bytes.data() + skip, values.size() * sizeof(T));
  return values;
}

EngineOptions options() {
  EngineOptions o;
  o.threads = 1;
  o.kv_dtype = DType::kF32;
  o.max_batched_tokens = 16;  // so that the prompt takes several steps
  return o;
}

TEST(Logits, MatchTheGoldens) {
  const auto tokens = read_array<TokenId>(kModel + ".tokens.i32");
  const auto golden = read_array<float>(kModel + ".logits.f32");
  const auto logits = compute_logits(kModel + ".gguf", options(), tokens);
  ASSERT_TRUE(logits.is_ok()) << logits.status().message();
  ASSERT_EQ(logits->size(), golden.size());
  for (size_t i = 0; i < golden.size(); ++i) ASSERT_NEAR((*logits)[i], golden[i], 1e-3f) << i;

  const std::string path = (std::filesystem::path(testing::TempDir()) / "ferrum_logits_test.npy").string();
  const Status written = write_logits_npy(kModel + ".gguf", options(), tokens, path);
  ASSERT_TRUE(written.is_ok()) << written.message();
  EXPECT_EQ(read_array<float>(path, 128), *logits);
  std::filesystem::remove(path);
}

TEST(Logits, MistakesAreErrors) {
  const auto code = [](const std::string& model, const EngineOptions& o, const std::vector<TokenId>& tokens) {
    const auto logits = compute_logits(model, o, tokens);
    EXPECT_FALSE(logits.is_ok());
    EXPECT_FALSE(logits.status().message().empty());
    return logits.status().code();
  };
  const std::string model = kModel + ".gguf";
  EXPECT_EQ(code(model, options(), {}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(model, options(), {1, 96}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(model, options(), {-1}), StatusCode::kInvalidArgument);
  EXPECT_EQ(code(model, options(), std::vector<TokenId>(257, 1)), StatusCode::kInvalidArgument) << "context 256";
  EXPECT_EQ(code("/no/such/model.gguf", options(), {1}), StatusCode::kNotFound);
  for (const auto& change :
       {+[](EngineOptions& o) { o.backend = "abacus"; }, +[](EngineOptions& o) { o.isa = "mmx"; },
        +[](EngineOptions& o) { o.threads = -1; }, +[](EngineOptions& o) { o.block_size = 0; },
        +[](EngineOptions& o) { o.max_batched_tokens = 0; }, +[](EngineOptions& o) { o.kv_dtype = DType::kQ4_0; },
        +[](EngineOptions& o) { o.max_model_len = 1; }}) {
    EngineOptions o = options();
    change(o);
    EXPECT_EQ(code(model, o, {1, 2}), StatusCode::kInvalidArgument);
  }
  const Status nowhere = write_logits_npy(model, options(), {1}, "/no/such/folder/out.npy");
  EXPECT_EQ(nowhere.code(), StatusCode::kIo);
}

}  // namespace
}  // namespace ferrum
