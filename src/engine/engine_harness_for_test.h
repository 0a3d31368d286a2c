// An engine over the fake model, for tests of what happens to requests.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

#include "engine/engine_core.h"
#include "engine/fakes_for_test.h"

namespace ferrum {

inline CoreOptions roomy() {
  CoreOptions o;
  o.scheduler = {8, 64, 16, 100};
  o.requests = {.vocab_size = kFakeVocab, .max_model_len = 200, .hidden_size = kFakeHidden};
  o.num_blocks = 400;
  o.block_size = 4;
  return o;
}

// The same with longer texts, more tokens in a step, and room for guesses.
inline CoreOptions roomy_for_guesses(bool draft_model = false) {
  CoreOptions o = roomy();
  o.scheduler = {8, 128, 80, 5000};
  o.requests.max_model_len = 400;
  o.requests.has_draft_model = draft_model;
  return o;
}

struct Harness {
  explicit Harness(const CoreOptions& options = roomy(), std::unique_ptr<DraftModel> draft_model = nullptr)
      : runner(new FakeRunner(options.num_blocks, options.block_size)),
        core(options, std::unique_ptr<StepRunner>(runner), std::make_shared<FakeTokenizer>(), nullptr,
             std::move(draft_model)) {}

  RequestId submit(Request request, Heard& heard) {
    const auto id = core.submit(std::move(request), [&heard](Event e) { heard(std::move(e)); });
    EXPECT_TRUE(id.is_ok()) << id.status().message();
    return id.is_ok() ? *id : 0;
  }
  void run() {
    while (*core.step()) EXPECT_EQ(core.violations(), std::vector<std::string>{});
    EXPECT_EQ(core.stats().kv_blocks_used, 0);
  }
  std::vector<Heard> together(const std::vector<Request>& requests) {
    std::vector<Heard> heard(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) submit(requests[i], heard[i]);
    run();
    return heard;
  }
  Heard alone(const Request& request) { return together({request}).front(); }

  FakeRunner* runner;  // owned by core
  EngineCore core;
};

inline Request request(std::vector<TokenId> prompt, int max_tokens, float temperature = 0) {
  Request r;
  r.prompt = std::move(prompt);
  r.stop.max_tokens = max_tokens;
  r.sampling.temperature = temperature;
  r.sampling.seed = 5;
  return r;
}

inline Request endless(std::vector<TokenId> prompt, int max_tokens) {
  Request r = request(std::move(prompt), max_tokens, 1.0f);
  r.stop.ignore_eos = true;
  return r;
}

// Logits that are the same everywhere, of the tokens from 3 on; the others cannot be. So every token of every answer is
// a draw from one known distribution.
class ConstantRunner : public StepRunner {
 public:
  static constexpr TokenId kFirst = 3;
  explicit ConstantRunner(std::span<const float> logits) : row_(kFakeVocab, -std::numeric_limits<float>::infinity()) {
    std::copy(logits.begin(), logits.end(), row_.begin() + kFirst);
  }
  Result<StepOutput> run(const Batch& batch) override {
    logits_.clear();
    for (int i = 0; i < batch.num_logits(); ++i) logits_.insert(logits_.end(), row_.begin(), row_.end());
    return StepOutput{ConstView(logits_.data(), DType::kF32, {batch.num_logits(), kFakeVocab})};
  }

 private:
  std::vector<float> row_, logits_;
};

// Eight logits for it.
inline constexpr std::array kKnownLogits = {3.0f, 2.5f, 2.4f, 2.0f, 1.0f, 0.5f, 0.0f, -1.0f};

// Pearson's statistic over all tokens of 1,000 answers to a request by an engine over a runner of those logits.
inline void expect_draws_follow_known_logits(EngineCore& core, Request request) {
  constexpr double kCritical = 24.32;  // chi-square, 7 degrees of freedom, p = 0.001
  std::array<double, kKnownLogits.size()> seen{};
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    request.sampling.seed = seed;
    const auto count = [&](Event e) {
      for (const TokenId t : e.tokens) ++seen.at(static_cast<size_t>(t - ConstantRunner::kFirst));
    };
    ASSERT_TRUE(core.submit(request, count).is_ok());
  }
  while (*core.step()) {
  }
  const double temperature = static_cast<double>(request.sampling.temperature);
  double total = 0, weight = 0, statistic = 0;
  for (const double count : seen) total += count;
  for (const float logit : kKnownLogits) weight += std::exp(logit / temperature);
  for (size_t t = 0; t < seen.size(); ++t) {
    const double expected = total * std::exp(kKnownLogits[t] / temperature) / weight;
    statistic += (seen[t] - expected) * (seen[t] - expected) / expected;
  }
  EXPECT_EQ(total, 1000.0 * request.stop.max_tokens);
  EXPECT_LT(statistic, kCritical) << "temperature " << temperature;
}

}  // namespace ferrum
