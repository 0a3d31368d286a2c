// Whole models through backend "cuda": tiny ones against the logits of Hugging Face transformers (goldens of
// runner/parity_test.cc), quantised ones against backend "cpu", greedy token by greedy token.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "backend/cuda/cuda_test_support.h"
#include "io/gguf.h"
#include "models/registry.h"
#include "runner/runner.h"
#include "runner/single_sequence.h"

namespace ferrum {
namespace {

namespace fs = std::filesystem;
using testing_support::cuda_backends;
using testing_support::make_cpu;

const fs::path kRoot = FERRUM_SOURCE_DIR;
const fs::path kGoldens = kRoot / "tests/data/models";
constexpr const char* kModels[] = {"llama3", "llama_linear", "llama_yarn", "mistral", "qwen2",
                                   "qwen3",  "qwen3moe",     "qwen2moe",   "mixtral", "olmoe"};

template <typename T>
std::vector<T> read_array(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file) << path;
  std::vector<T> values(fs::file_size(path) / sizeof(T));
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

std::unique_ptr<Runner> make_runner(const fs::path& path, std::unique_ptr<Backend> backend, DType kv_dtype) {
  auto file = Gguf::open(path.string());
  EXPECT_TRUE(file.is_ok()) << file.status().message();
  auto model = load_model(*file, *backend, {});
  EXPECT_TRUE(model.is_ok()) << model.status().message();
  RunnerOptions options;
  options.max_tokens = options.max_logits = 64;
  options.num_blocks = 40;
  options.kv_dtype = kv_dtype;
  auto runner = Runner::create(std::move(backend), std::move(*model), options);
  EXPECT_TRUE(runner.is_ok()) << runner.status().message();
  return std::move(*runner);
}

// Logits of all positions from `from` on.
std::vector<float> append(SingleSequence& sequence, std::span<const TokenId> tokens, int from) {
  std::vector<float> logits;
  const Status status = sequence.append(tokens, from, [&](int, std::span<const float> row) {
    logits.insert(logits.end(), row.begin(), row.end());
    return Status::ok();
  });
  EXPECT_TRUE(status.is_ok()) << status.message();
  return logits;
}

float range(const std::vector<float>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return *high - *low;
}

// The bound of parity_test.cc: 1e-4 of the range of the logits.
TEST(CudaModels, GiveTheLogitsOfTransformers) {
  for (const char* name : kModels) {
    const auto tokens = read_array<TokenId>(kGoldens / (std::string(name) + ".tokens.i32"));
    const auto golden = read_array<float>(kGoldens / (std::string(name) + ".logits.f32"));
    for (auto& backend : cuda_backends()) {
      const auto runner = make_runner(kGoldens / (std::string(name) + ".gguf"), std::move(backend), DType::kF32);
      SingleSequence sequence(*runner);
      const std::vector<float> logits = append(sequence, tokens, 0);
      ASSERT_EQ(logits.size(), golden.size());
      for (size_t i = 0; i < logits.size(); ++i) {
        ASSERT_NEAR(logits[i], golden[i], 1e-4f * range(golden)) << name << ", " << runner->backend().describe();
      }
      EXPECT_EQ(runner->router_fault(), "");
      for (const ExpertLoad& layer : runner->expert_load()) {
        const int64_t choices = std::accumulate(layer.tokens.begin(), layer.tokens.end(), int64_t{0});
        EXPECT_EQ(choices, std::ssize(tokens) * runner->model().spec().moe->router.top_k) << name;
      }
      SingleSequence again(*runner);
      std::vector<float> in_pieces = append(again, std::span(tokens).first(3), 0);
      const std::vector<float> rest = append(again, std::span(tokens).subspan(3), 0);
      in_pieces.insert(in_pieces.end(), rest.begin(), rest.end());
      EXPECT_EQ(in_pieces, logits) << name << ", " << runner->backend().describe();
    }
  }
}

// Both backends quantise activations alike, so their logits differ by the order of sums only: by far less than a
// thousandth of their range. Where two tokens are nearer than that, either may come first.
void expect_the_tokens_of_cpu(const fs::path& path, std::vector<TokenId> prompt, int count, DType kv_dtype) {
  const auto cpu = make_runner(path, make_cpu("auto"), kv_dtype);
  for (auto& backend : cuda_backends()) {
    const auto cuda = make_runner(path, std::move(backend), kv_dtype);
    SingleSequence on_cpu(*cpu), on_cuda(*cuda);
    std::vector<TokenId> next = prompt;
    for (int i = 0; i < count; ++i) {
      const int last = on_cpu.length() + static_cast<int>(next.size()) - 1;
      const std::vector<float> expected = append(on_cpu, next, last), logits = append(on_cuda, next, last);
      ASSERT_EQ(logits.size(), expected.size());
      const float near = 1e-3f * range(expected);
      for (size_t v = 0; v < logits.size(); ++v) ASSERT_NEAR(logits[v], expected[v], near) << path << ", token " << i;
      const auto best = std::max_element(expected.begin(), expected.end()) - expected.begin();
      const auto mine = std::max_element(logits.begin(), logits.end()) - logits.begin();
      if (mine != best) {
        EXPECT_NEAR(expected[static_cast<size_t>(mine)], expected[static_cast<size_t>(best)], near) << "no tie";
      }
      next = {static_cast<TokenId>(best)};
    }
  }
}

TEST(CudaModels, TheDemoModelSaysWhatItSaysOnTheCpu) {
  expect_the_tokens_of_cpu(kRoot / "models/ferrum-demo.gguf", {1, 500, 77, 1203, 42, 9, 2048}, 4, DType::kF16);
}

TEST(CudaModels, Stories260KSaysWhatItSaysOnTheCpu) {
  const fs::path path = kRoot / "../shared/testdata/models/stories260K/stories260K.gguf";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is absent";
  expect_the_tokens_of_cpu(path, {1, 403, 407, 261, 378}, 16, DType::kF16);
}

}  // namespace
}  // namespace ferrum
