// Microseconds that choosing one token takes, for a vocabulary of Qwen's size; no model involved.
#include <benchmark/benchmark.h>

#include <random>

#include "runner/sampler.h"

namespace ferrum {
namespace {

constexpr int kVocab = 151'936;

// What a language model gives after a clear context (a few likely tokens over a broad tail), or after none.
std::vector<float> make_logits(bool peaked) {
  std::mt19937_64 rng(1);
  std::normal_distribution<float> normal(0.0f, peaked ? 3.0f : 1.0f);
  std::vector<float> logits(kVocab);
  for (float& l : logits) l = normal(rng);
  for (int i = 0; peaked && i < 30; ++i) logits[rng() % kVocab] = 12.0f + 0.5f * static_cast<float>(i % 10);
  return logits;
}

void run(benchmark::State& state, const SamplingParams& params, bool peaked) {
  const std::vector<float> logits = make_logits(peaked);
  const std::vector<TokenId> history(1000, 7);
  Sampler sampler(params, 1);
  SamplerScratch scratch;
  for (auto _ : state) benchmark::DoNotOptimize(sampler.sample({logits, history}, scratch).is_ok());
}

template <typename Change>
void add(const std::string& name, Change change) {
  SamplingParams params;
  change(params);
  for (const bool peaked : {true, false}) {
    benchmark::RegisterBenchmark((name + (peaked ? "/peaked" : "/flat")).c_str(), [=](benchmark::State& state) {
      run(state, params, peaked);
    })->Unit(benchmark::kMicrosecond);
  }
}

}  // namespace
}  // namespace ferrum

int main(int argc, char** argv) {
  using ferrum::SamplingParams;
  ferrum::add("greedy", [](SamplingParams& p) { p.temperature = 0; });
  ferrum::add("temperature", [](SamplingParams& p) { p.temperature = 0.8f; });
  ferrum::add("top_k_40", [](SamplingParams& p) { p.top_k = 40; });
  ferrum::add("top_k_2000", [](SamplingParams& p) { p.top_k = 2000; });
  ferrum::add("top_p_0.95", [](SamplingParams& p) { p.top_p = 0.95f; });
  ferrum::add("min_p_0.05", [](SamplingParams& p) { p.min_p = 0.05f; });
  ferrum::add("typical_0.9", [](SamplingParams& p) { p.typical_p = 0.9f; });
  ferrum::add("chat_defaults", [](SamplingParams& p) { p = ferrum::chat_sampling_defaults(); });
  ferrum::add("greedy_penalties", [](SamplingParams& p) { p.temperature = 0, p.repetition_penalty = 1.1f; });
  ferrum::add("logprobs_20", [](SamplingParams& p) { p.logprobs = 20; });
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
