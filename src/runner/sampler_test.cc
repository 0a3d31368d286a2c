#include "runner/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "types/input_text.h"

namespace ferrum {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokenId sample(Sampler& sampler, const std::vector<float>& logits, const std::vector<TokenId>& history) {
  SamplerScratch scratch;
  auto result = sampler.sample({logits, history}, scratch);
  EXPECT_TRUE(result.is_ok()) << result.status().message();
  return result.is_ok() ? result->token : -1;
}

SamplingParams greedy() {
  SamplingParams p;
  p.temperature = 0;
  return p;
}

TEST(Sampler, GreedyTakesTheLowestIdOfTheBest) {
  Sampler sampler(greedy(), 1);
  EXPECT_EQ(sample(sampler, {0, 3, 1, 3}, {0}), 1);
  EXPECT_EQ(sample(sampler, {-kInfinity, -kInfinity, -5}, {0}), 2);
}

TEST(Sampler, BiasBansAndForces) {
  SamplingParams ban = greedy();
  ban.logit_bias = {{1, -100.0f}};
  Sampler banned(ban, 1);
  EXPECT_EQ(sample(banned, {0, 9, 1, 3}, {0}), 3);
  SamplingParams force;
  force.logit_bias = {{2, 100.0f}};
  Sampler forced(force, 1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sample(forced, {0, 9, 1, 3}, std::vector<TokenId>(i + 1, 0)), 2);
}

TEST(Sampler, SameSeedAndPositionGiveTheSameTokenWhateverCameBetween) {
  std::mt19937_64 rng(4);
  std::normal_distribution<float> normal(0, 1);
  std::vector<std::vector<float>> rows(40, std::vector<float>(500));
  for (auto& row : rows) std::generate(row.begin(), row.end(), [&] { return normal(rng); });
  SamplingParams params;
  params.top_p = 0.95f;
  Sampler all(params, 77), late(params, 77), other(params, 78);
  std::vector<TokenId> history{0}, tokens;
  int differs = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const TokenId token = sample(all, rows[i], history);
    EXPECT_TRUE(i < 20 || sample(late, rows[i], history) == token) << "a sampler that missed the first 20 draws";
    differs += sample(other, rows[i], history) != token;
    history.push_back(token);
  }
  EXPECT_GT(differs, 30);
}

TEST(Sampler, BadLogitsAreAnErrorAndTheSamplerGoesOn) {
  for (float temperature : {0.0f, 1.0f}) {
    SamplingParams params;
    params.temperature = temperature;
    Sampler sampler(params, 1);
    SamplerScratch scratch;
    const std::vector<TokenId> history = {0};
    for (float bad : {std::nanf(""), kInfinity}) {
      const std::vector<float> logits = {1, bad, 2};
      const auto result = sampler.sample({logits, history}, scratch);
      ASSERT_FALSE(result.is_ok());
      EXPECT_EQ(result.status().code(), StatusCode::kInternal);
    }
    const std::vector<float> nothing(3, -kInfinity);
    EXPECT_FALSE(sampler.sample({nothing, history}, scratch).is_ok());
    EXPECT_EQ(sample(sampler, {0, 50, 0}, history), 1);
  }
  SamplingParams overflow = greedy();
  overflow.repetition_penalty = 1e-3f;
  Sampler sampler(overflow, 1);
  SamplerScratch scratch;
  const std::vector<TokenId> history = {0};
  const std::vector<float> huge = {1e37f, 1};
  EXPECT_FALSE(sampler.sample({huge, history}, scratch).is_ok()) << "the penalty overflows to +inf";
}

TEST(Sampler, LogprobsAreTheModelsOwnWhateverTheParamsDo) {
  const std::vector<float> logits = {1.0f, 2.0f, 0.5f, -1.0f};
  double sum = 0;
  for (float l : logits) sum += std::exp(static_cast<double>(l));
  SamplingParams params = greedy();
  params.logprobs = 2;
  params.logit_bias = {{3, 50.0f}};
  params.repetition_penalty = 2.0f;
  Sampler sampler(params, 1);
  SamplerScratch scratch;
  const std::vector<TokenId> history = {1, 2};
  const auto sampled = sampler.sample({logits, history}, scratch);
  ASSERT_TRUE(sampled.is_ok() && sampled->logprobs.has_value());
  EXPECT_EQ(sampled->token, 3);
  EXPECT_EQ(sampled->logprobs->chosen.token, 3);
  EXPECT_NEAR(sampled->logprobs->chosen.logprob, -1.0 - std::log(sum), 1e-6);
  ASSERT_EQ(sampled->logprobs->top.size(), 2u);
  EXPECT_EQ(sampled->logprobs->top[0].token, 1);
  EXPECT_NEAR(sampled->logprobs->top[0].logprob, 2.0 - std::log(sum), 1e-6);
  EXPECT_EQ(sampled->logprobs->top[1].token, 0);

  const auto scored = score_token(logits, 2, 1, scratch);
  ASSERT_TRUE(scored.is_ok());
  EXPECT_NEAR(scored->chosen.logprob, 0.5 - std::log(sum), 1e-6);
  EXPECT_FALSE(score_token(std::vector<float>{1, std::nanf("")}, 0, 1, scratch).is_ok());
}

// Penalties as the definition reads, from the whole history at every token.
void penalise_naively(const SamplingParams& p, std::span<const TokenId> history, std::vector<float>& logits) {
  const size_t window = p.penalty_window < 0 ? history.size() : static_cast<size_t>(p.penalty_window);
  const auto recent = history.last(std::min(window, history.size()));
  for (size_t t = 0; t < logits.size(); ++t) {
    const auto count = std::count(recent.begin(), recent.end(), static_cast<TokenId>(t));
    if (count == 0) continue;
    logits[t] = logits[t] > 0 ? logits[t] / p.repetition_penalty : logits[t] * p.repetition_penalty;
    logits[t] -= p.presence_penalty + static_cast<float>(count) * p.frequency_penalty;
  }
}

TEST(Penalties, AgreeWithTheDefinitionForEveryWindowAndGrowth) {
  std::mt19937_64 rng(6);
  for (int window : {-1, 0, 1, 3, 16, 1000}) {
    SamplingParams params;
    params.repetition_penalty = 1.3f;
    params.presence_penalty = 0.25f;
    params.frequency_penalty = 0.5f;
    params.penalty_window = window;
    Penalties penalties(params);
    std::vector<TokenId> history;
    for (int step = 0; step < 200; ++step) {
      for (auto n = 1 + rng() % 3; n > 0; --n) history.push_back(static_cast<TokenId>(rng() % 20));
      std::vector<float> logits(20), expected;
      for (float& l : logits) l = static_cast<float>(static_cast<int>(rng() % 100)) / 10.0f - 5.0f;
      expected = logits;
      penalise_naively(params, history, expected);
      penalties.apply(history, logits);
      ASSERT_EQ(logits, expected) << "window " << window << " step " << step;
    }
  }
}

// A position without a token takes its place in the window.
TEST(Penalties, CountNoTokenWhereThereIsNone) {
  SamplingParams params;
  params.frequency_penalty = 1;
  params.penalty_window = 3;
  Penalties penalties(params);
  std::vector<TokenId> history = {1, kNoToken, kNoToken};
  std::vector<float> logits(4, 0.0f);
  penalties.apply(history, logits);
  EXPECT_EQ(logits, (std::vector<float>{0, -1, 0, 0}));
  history.push_back(2);
  logits.assign(4, 0.0f);
  penalties.apply(history, logits);
  EXPECT_EQ(logits, (std::vector<float>{0, 0, -1, 0}));
  for (const TokenId token : {3, 3}) history.push_back(token);
  logits.assign(4, 0.0f);
  penalties.apply(history, logits);
  EXPECT_EQ(logits, (std::vector<float>{0, 0, -1, -2}));
}

TEST(Penalties, AreInactiveAtTheirDefaults) {
  SamplingParams params;
  EXPECT_FALSE(Penalties(params).active());
  params.presence_penalty = 1;
  EXPECT_TRUE(Penalties(params).active());
  params.penalty_window = 0;
  EXPECT_FALSE(Penalties(params).active());
}

}  // namespace
}  // namespace ferrum
