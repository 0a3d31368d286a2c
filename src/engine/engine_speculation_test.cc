// Speculation over the fake model: the same tokens in fewer steps, the target's distribution, and the numbers about it.
// Mixed workloads with speculation are in engine_mixed_test.cc.
#include <gtest/gtest.h>

#include <algorithm>

#include "engine/engine_harness_for_test.h"

namespace ferrum {
namespace {

SpeculationParams ngrams(int max_draft) { return {SpeculationMode::kNgram, max_draft, 1, 4}; }

// Over a model that repeats itself.
struct Habitual : Harness {
  explicit Habitual(const CoreOptions& options = roomy_for_guesses()) : Harness(options) { runner->habit = 7; }
};

Request request(int max_tokens, float temperature = 0) {
  Request r = ferrum::request({5, 6, 7, 8}, max_tokens, temperature);
  r.stop.ignore_eos = true;
  return r;
}

Heard without(Request r) {
  r.speculation.reset();
  return Habitual().alone(r);
}
Heard with(Request r, int max_draft = 8) {
  r.speculation = ngrams(max_draft);
  return Habitual().alone(r);
}

TEST(EngineSpeculation, RepetitiveGreedyTextTakesLessThanHalfAStepPerToken) {
  Request r = request(200);
  const std::vector<TokenId> expected = without(r).tokens;
  r.speculation = ngrams(8);
  Habitual harness;
  EXPECT_EQ(harness.alone(r).tokens, expected);
  EXPECT_LT(harness.runner->steps(), 100);
}

// Every length that an answer can be cut at, so that the cut falls on every place among accepted guesses.
TEST(EngineSpeculation, MaxTokensAreExactWhereverTheyFall) {
  const std::vector<TokenId> longest = without(request(60)).tokens;
  for (int n = 1; n <= 60; ++n) {
    const Heard heard = with(request(n));
    EXPECT_EQ(heard.tokens, std::vector<TokenId>(longest.begin(), longest.begin() + n));
    EXPECT_EQ(heard.last.reason, FinishReason::kLength);
    EXPECT_EQ(heard.last.usage.completion_tokens, n);
  }
}

// A stop token that first appears late, in text that repeats itself otherwise, ends the answer in front of it, also
// where it was guessed; nothing that was guessed behind it is told.
TEST(EngineSpeculation, StopTokensAndStopStringsEndTheAnswerAmongGuesses) {
  const Heard whole = without(request(80));
  int among_guesses = 0;
  for (size_t i = 0; i < whole.tokens.size(); ++i) {
    Request r = request(80);
    r.prompt.push_back(whole.tokens[i]);  // may be guessed from the prompt
    r.prompt.insert(r.prompt.end(), {5, 6, 7, 8});
    r.stop.stop_token_ids = {whole.tokens[i]};
    const std::string stop = whole.text.substr(i, 3);
    const bool ascii = std::all_of(stop.begin(), stop.end(), [](char c) { return c >= 0; });
    if (i % 2 == 0 && ascii) r.stop.stop = {stop};
    const Heard expected = without(r), heard = with(r);
    EXPECT_EQ(heard.tokens, expected.tokens);
    EXPECT_EQ(heard.text, expected.text);
    EXPECT_EQ(heard.last.reason, expected.last.reason);
    EXPECT_EQ(heard.last.stop_match, expected.last.stop_match);
    EXPECT_EQ(heard.last.usage.completion_tokens, expected.last.usage.completion_tokens);
    among_guesses += heard.last.usage.drafted_tokens > 0 ? 1 : 0;
  }
  EXPECT_GT(among_guesses, 20);
}

// The poison makes logits NaN ten positions later: the error comes where it comes without speculation, and the tokens
// before it were told.
TEST(EngineSpeculation, ARowThatTurnsNaNAmongGuessesKeepsWhatWasGoodBeforeIt) {
  Request r = request(60);
  r.prompt = {5, 6, 7, kFakePoison, 5, 6};
  const Heard expected = without(r), heard = with(r);
  ASSERT_EQ(expected.last.reason, FinishReason::kError);
  EXPECT_EQ(heard.last.reason, FinishReason::kError);
  EXPECT_EQ(heard.tokens, expected.tokens);
  EXPECT_EQ(heard.last.usage.completion_tokens, expected.last.usage.completion_tokens);
}

TEST(EngineSpeculation, TheNumbersAddUp) {
  Habitual harness;
  uint64_t tokens = 0, drafted = 0, accepted = 0;
  for (const float temperature : {0.0f, 0.5f, 1.0f}) {
    Request r = request(100, temperature);
    r.speculation = ngrams(6);
    const Usage usage = harness.alone(r).last.usage;
    EXPECT_LE(usage.accepted_tokens, usage.drafted_tokens);
    tokens += static_cast<uint64_t>(usage.completion_tokens);
    drafted += static_cast<uint64_t>(usage.drafted_tokens);
    accepted += static_cast<uint64_t>(usage.accepted_tokens);
  }
  const EngineStats stats = harness.core.stats();
  EXPECT_EQ(stats.generated_tokens, tokens);
  EXPECT_EQ(stats.drafted_tokens, drafted);
  EXPECT_EQ(stats.accepted_tokens, accepted);
  EXPECT_GT(accepted, 50u);
  EXPECT_LT(accepted, drafted);
  // Alone in its engine, a request has one row in a step: the prompt's, or one that gives a token and its gains.
  EXPECT_EQ(stats.steps, tokens - accepted);
  EXPECT_LE(stats.drafts, stats.steps);
}

TEST(EngineSpeculation, IsOffWhereNobodyAskedForItAndTheEnginesDefaultIsHeard) {
  EXPECT_EQ(without(request(100)).last.usage.drafted_tokens, 0);
  CoreOptions on = roomy_for_guesses();
  on.speculation = ngrams(4);
  Habitual harness(on);
  EXPECT_GT(harness.alone(request(100)).last.usage.drafted_tokens, 0);
  Request off = request(100);
  off.speculation = SpeculationParams();
  EXPECT_EQ(harness.alone(off).last.usage.drafted_tokens, 0);
}

TEST(EngineSpeculation, RefusesParametersOutOfRangeByName) {
  Habitual harness;
  const auto refused = [&](SpeculationParams params) {
    Request r = request(5);
    r.speculation = params;
    const auto id = harness.core.submit(r, [](Event) {});
    return id.is_ok() ? std::string() : id.status().message();
  };
  EXPECT_NE(refused({SpeculationMode::kNgram, 0, 1, 4}).find("max_draft must be from 1 to 32"), std::string::npos);
  EXPECT_NE(refused({SpeculationMode::kNgram, 33, 1, 4}).find("max_draft"), std::string::npos);
  EXPECT_NE(refused({SpeculationMode::kNgram, 4, 0, 4}).find("ngram_min"), std::string::npos);
  EXPECT_NE(refused({SpeculationMode::kNgram, 4, 5, 4}).find("ngram_max must be from 5 to 16"), std::string::npos);
}

TEST(EngineSpeculation, SampledTokensFollowTheTargetsDistribution) {
  for (const float temperature : {0.7f, 1.0f}) {
    EngineCore core(roomy_for_guesses(), std::make_unique<ConstantRunner>(kKnownLogits),
                    std::make_shared<FakeTokenizer>());
    Request r = request(30, temperature);
    r.prompt = {3, 4, 5, 3, 4, 5, 3, 4, 5};
    r.speculation = ngrams(4);
    expect_draws_follow_known_logits(core, r);
    // And it was speculation that was tested: guesses were right, and wrong, often.
    const EngineStats stats = core.stats();
    EXPECT_GT(stats.accepted_tokens, 1000u);
    EXPECT_GT(stats.drafted_tokens - stats.accepted_tokens, 1000u);
  }
}

}  // namespace
}  // namespace ferrum
