// What the tool writes is a model that loads, says finite things, and is the same every time.
#include "tools/random_gguf/random_model.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "backend/registry.h"
#include "engine/engine.h"
#include "io/gguf.h"
#include "quant/quantize.h"
#include "tools/random_gguf/random_blocks.h"

namespace ferrum {
namespace {

class RandomModelTest : public testing::Test {
 protected:
  void TearDown() override { std::filesystem::remove(path_); }
  std::string bytes() const {
    std::ifstream in(path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  const std::string path_ =
      (std::filesystem::temp_directory_path() / ("random_model_" + std::to_string(getpid()) + ".gguf")).string();
};

TEST_F(RandomModelTest, BlocksOfEveryTypeAreFiniteAndHaveTheWantedSpread) {
  for (const DTypeInfo& type : all_dtypes()) {
    if (!is_weight_type(type.dtype)) continue;
    constexpr int64_t kCount = 1 << 16;
    const auto bytes = random_weights(type.dtype, kCount, 0.03f, 7);
    std::vector<float> values(kCount);
    dequantize_row(type.dtype, bytes.data(), values.data(), kCount);
    double sum = 0, squares = 0;
    for (const float v : values) sum += v, squares += static_cast<double>(v) * v;
    ASSERT_TRUE(std::isfinite(squares)) << type.name;
    EXPECT_NEAR(std::sqrt(squares / kCount), 0.03, 0.012) << type.name;
    EXPECT_NEAR(sum / kCount, 0, 0.006) << type.name;
  }
}

TEST_F(RandomModelTest, IsDeterministic) {
  RandomModel model;
  ASSERT_TRUE(write_random_model(model, path_).is_ok());
  const std::string first = bytes();
  ASSERT_TRUE(write_random_model(model, path_).is_ok());
  EXPECT_EQ(bytes(), first);
  model.seed = 2;
  ASSERT_TRUE(write_random_model(model, path_).is_ok());
  EXPECT_NE(bytes(), first);
}

TEST_F(RandomModelTest, EveryTypeAndArchitectureComputesFiniteLogits) {
  const std::pair<const char*, const char*> kinds[] = {
      {"llama", "Q4_K_M"}, {"qwen3", "Q8_0"}, {"qwen2", "BF16"}, {"llama", "Q6_K"}, {"qwen3", "F32"}};
  for (const auto& [architecture, type] : kinds) {
    RandomModel model;
    model.architecture = architecture;
    model.type = type;
    model.tied = std::string_view(type) != "Q8_0";
    ASSERT_TRUE(write_random_model(model, path_).is_ok());
    EngineOptions options;
    options.max_model_len = 64;
    const auto logits = compute_logits(path_, options, {1, 2, 300, 4});
    ASSERT_TRUE(logits.is_ok()) << type << ": " << logits.status().message();
    for (const float value : *logits) ASSERT_TRUE(std::isfinite(value)) << type;
    EXPECT_TRUE(Engine::load(path_, options).is_ok()) << type;
  }
}

// Whatever computes BF16 products in two ways must keep their KV apart.
TEST_F(RandomModelTest, KvOfRoundedBf16ProductsIsNotTakenForKvOfExactOnes) {
  if (rounded_bf16_instruction().empty()) GTEST_SKIP() << "this machine has no instruction for BF16 products";
  const std::string kv = path_ + ".kv";
  for (const char* type : {"BF16", "Q8_0"}) {
    RandomModel model;
    model.type = type;
    ASSERT_TRUE(write_random_model(model, path_).is_ok());
    EngineOptions options;
    options.max_model_len = 64;
    options.rounded_bf16 = true;
    const auto rounds = Engine::load(path_, options);
    options.rounded_bf16 = false;
    const auto exact = Engine::load(path_, options);
    ASSERT_TRUE(rounds.is_ok() && exact.is_ok());
    Request request;
    for (int i = 0; i < 40; ++i) request.prompt.push_back(3 + i);
    request.stop.max_tokens = 1;
    ASSERT_TRUE((*rounds)->submit(request, [](Event) {}).is_ok());
    while (*(*rounds)->step()) {
    }
    ASSERT_TRUE((*rounds)->save_kv(request.prompt, "", kv).is_ok());
    const Result<int> restored = (*exact)->restore_kv(kv, "");
    if (std::string_view(type) == "BF16") {
      ASSERT_FALSE(restored.is_ok());
      EXPECT_NE(restored.status().message().find("arithmetic"), std::string::npos) << restored.status().message();
    } else {
      EXPECT_TRUE(restored.is_ok()) << restored.status().message();
    }
    std::filesystem::remove(kv);
  }
}

// The share of Q6_K in the mix, counted for 28 layers by hand: layers 0-2, 24.5 -> 24-27 by integer arithmetic
// (7 * 28 / 8 = 24), and 5, 8, 11, 14, 17, 20, 23 between.
TEST_F(RandomModelTest, MixesAsTheQuantiserDoes) {
  RandomModel model;
  model.layers = 28;
  model.hidden = 256, model.ffn = 256, model.type = "Q4_K_M";
  ASSERT_TRUE(write_random_model(model, path_).is_ok());
  const auto file = Gguf::open(path_);
  ASSERT_TRUE(file.is_ok());
  std::vector<int> more;
  for (int layer = 0; layer < model.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const DType v = (*file)->find_tensor(prefix + "attn_v.weight")->view.dtype;
    EXPECT_EQ((*file)->find_tensor(prefix + "ffn_down.weight")->view.dtype, v);
    EXPECT_EQ((*file)->find_tensor(prefix + "ffn_gate.weight")->view.dtype, DType::kQ4_K);
    if (v == DType::kQ6_K) more.push_back(layer);
  }
  EXPECT_EQ(more, (std::vector<int>{0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27}));
  EXPECT_EQ((*file)->find_tensor("token_embd.weight")->view.dtype, DType::kQ6_K);
}

TEST_F(RandomModelTest, RefusesWhatIsNoModel) {
  EXPECT_EQ(random_model_shape("gpt-9").status().code(), StatusCode::kInvalidArgument);
  RandomModel model;
  model.type = "I32";
  EXPECT_EQ(write_random_model(model, path_).code(), StatusCode::kInvalidArgument);
  model = {};
  model.kv_heads = 3;
  EXPECT_EQ(write_random_model(model, path_).code(), StatusCode::kInvalidArgument);
  model = {};
  model.vocab = 100;
  EXPECT_EQ(write_random_model(model, path_).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace ferrum
