// A draft model over the fake one: its KV is right wherever the target's is, and no token depends on it.
#include "engine/draft_model.h"

#include <gtest/gtest.h>

#include <array>

#include "engine/engine_harness_for_test.h"
#include "engine/workload_for_test.h"

namespace ferrum {
namespace {

constexpr float kHabit = 3.5f;  // makes another model's guesses right more often than not

CoreOptions with_draft() { return roomy_for_guesses(true); }

DraftModelLimits limits_for(const CoreOptions& o) { return draft_limits(o, o.window); }

std::unique_ptr<DraftModel> over(const DraftModelLimits& limits, FakeRunner* runner) {
  return std::make_unique<DraftModel>(limits, std::unique_ptr<StepRunner>(runner));
}

// An engine whose draft model is the target itself (salt 0), or another one.
struct Drafting : Harness {
  explicit Drafting(const CoreOptions& options = with_draft(), uint64_t salt = 0)
      : Drafting(options, salt, limits_for(options)) {}
  Drafting(const CoreOptions& options, uint64_t salt, const DraftModelLimits& limits)
      : Drafting(options, salt, limits, new FakeRunner(options.num_blocks, options.block_size)) {}
  GuessCounts by_model() const { return core.stats().guesses[static_cast<size_t>(GuessSource::kDraft)]; }

  FakeRunner* draft;  // owned by core

 private:
  Drafting(const CoreOptions& options, uint64_t salt, const DraftModelLimits& limits, FakeRunner* model)
      : Harness(options, over(limits, model)), draft(model) {
    runner->habit = draft->habit = kHabit;
    draft->salt = salt;
  }
};

Request request(int max_tokens, float temperature = 0, SpeculationMode mode = SpeculationMode::kDraft) {
  Request r = ferrum::request({5, 6, 7, 8}, max_tokens, temperature);
  r.stop.ignore_eos = true;
  r.sampling.seed = 11;
  r.speculation = SpeculationParams{mode, 8, 1, 4};
  return r;
}

Heard without(Request r) {
  r.speculation.reset();
  return Drafting().alone(r);
}

TEST(DraftModel, ThatIsTheTargetIsAlwaysRightAndSavesMostSteps) {
  Drafting harness;
  EXPECT_EQ(harness.alone(request(200)).tokens, without(request(200)).tokens);
  const GuessCounts counts = harness.by_model();
  EXPECT_EQ(counts.accepted_tokens, counts.drafted_tokens);
  EXPECT_LT(harness.runner->steps(), 60);
  EXPECT_EQ(harness.core.stats().steps, 200 - counts.accepted_tokens);
}

TEST(DraftModel, ThatIsAnotherModelChangesNoTokenAtAnyTemperature) {
  for (const float temperature : {0.0f, 0.7f, 1.0f}) {
    Drafting harness(with_draft(), 99);
    EXPECT_EQ(harness.alone(request(200, temperature)).tokens, without(request(200, temperature)).tokens);
    const GuessCounts counts = harness.by_model();
    EXPECT_GT(counts.accepted_tokens, 3u);
    EXPECT_LT(counts.accepted_tokens, counts.drafted_tokens);
  }
}

// Random workloads on pools that are short: prompts in chunks, preemption, texts found in the prefix cache (computed
// with and without the draft model), swap space, which brings back the target's KV alone, windows, cancels. A draft
// model that is the target guesses right as long as its KV is what the target's is, so one wrong guess shows one wrong
// slot.
Request greedy(Workload& w) {
  constexpr std::array kModes = {SpeculationMode::kOff, SpeculationMode::kDraft, SpeculationMode::kDraft,
                                 SpeculationMode::kBoth};
  Request r = request(1 + w.pick(70), 0, kModes[static_cast<size_t>(w.pick(4))]);
  r.prompt = w.request().prompt;
  r.speculation->max_draft = 1 + w.pick(12);
  return r;
}

CoreOptions tight(Workload& w) {
  CoreOptions o = w.tight();
  const int64_t bytes = static_cast<int64_t>(FakeRunner::kTokenBytes) * o.block_size;
  if (w.pick(2) == 0) o.swap = *SwapSpace::create((1 + w.pick(40)) * bytes, bytes, o.block_size, SwapPolicy::kAlways);
  return o;
}

EngineStats run_mixed(uint64_t seed, uint64_t salt) {
  Workload w(seed);
  const CoreOptions options = tight(w);
  DraftModelLimits limits = limits_for(options);
  limits.window = options.window > 0 ? 2 : 0;  // what the fake model needs
  Drafting harness(options, salt, limits);
  const auto count = static_cast<size_t>(4 + w.pick(12));
  std::vector<Request> requests;
  std::vector<Heard> heard(count);
  for (size_t i = 0; i < count; ++i) requests.push_back(greedy(w));
  size_t submitted = 0;
  std::vector<RequestId> ids;
  for (bool busy = true; busy || submitted < count;) {
    while (submitted < count && w.pick(4) == 0) {
      Heard& h = heard[submitted];
      const auto id = harness.core.submit(requests[submitted++], [&h](Event e) { h(std::move(e)); });
      EXPECT_TRUE(id.is_ok()) << id.status().message();
      ids.push_back(*id);
    }
    if (!ids.empty() && w.pick(80) == 0)
      harness.core.cancel(ids[static_cast<size_t>(w.pick(static_cast<int>(ids.size())))]);
    busy = *harness.core.step();
    EXPECT_EQ(harness.core.violations(), std::vector<std::string>{});
  }
  for (size_t i = 0; i < count; ++i) {
    SCOPED_TRACE(testing::Message() << "workload " << seed << " request " << i);
    const std::vector<TokenId> expected = without(requests[i]).tokens;
    const bool cancelled = heard[i].last.reason == FinishReason::kCancelled;
    if (cancelled) heard[i].tokens.resize(std::min(heard[i].tokens.size(), expected.size()));
    EXPECT_EQ(
        heard[i].tokens,
        std::vector<TokenId>(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(heard[i].tokens.size())));
    EXPECT_TRUE(cancelled || heard[i].tokens.size() == expected.size());
  }
  EXPECT_EQ(harness.core.stats().draft_model.failures, 0u);
  return harness.core.stats();
}

TEST(DraftModel, ThatIsTheTargetIsAlwaysRightInRandomWorkloads) {
  uint64_t preemptions = 0, accepted = 0, hits = 0, swapped = 0;
  for (uint64_t seed = 0; seed < 250 && !HasFailure(); ++seed) {
    const EngineStats stats = run_mixed(seed, 0);
    const GuessCounts& counts = stats.guesses[static_cast<size_t>(GuessSource::kDraft)];
    EXPECT_EQ(counts.accepted_tokens, counts.drafted_tokens) << "workload " << seed;
    preemptions += stats.preemptions;
    accepted += counts.accepted_tokens;
    hits += stats.prefix_hits;
    swapped += stats.swapped_in;
  }
  EXPECT_GT(accepted, 10000u);
  EXPECT_GT(preemptions, 200u) << "the pools were never short";
  EXPECT_GT(hits, 200u) << "no prefix was in the cache";
  EXPECT_GT(swapped, 200u) << "nothing came back from swap space";
}

TEST(DraftModel, ThatIsAnotherModelChangesNoTokenInRandomWorkloads) {
  uint64_t accepted = 0, rejected = 0;
  for (uint64_t seed = 1000; seed < 1120 && !HasFailure(); ++seed) {
    const EngineStats stats = run_mixed(seed, 99);
    accepted += stats.accepted_tokens;
    rejected += stats.drafted_tokens - stats.accepted_tokens;
  }
  EXPECT_GT(accepted, 1000u);
  EXPECT_GT(rejected, 1000u);
}

// Computed by a request that had no use for the draft model, found by one that has: the draft model reads it then.
TEST(DraftModel, CatchesUpWithWhatThePrefixCacheHolds) {
  CoreOptions options = with_draft();
  options.prefix_cache = true;
  options.scheduler.max_batched_tokens = 16;
  Drafting harness(options);
  Request first = request(1, 0, SpeculationMode::kOff), second = request(100);
  first.prompt.clear();
  for (int i = 0; i < 200; ++i) first.prompt.push_back(static_cast<TokenId>(i % 37));
  second.prompt = first.prompt;
  harness.alone(first);
  EXPECT_EQ(harness.core.stats().draft_model.tokens, 0u);
  const Heard heard = harness.alone(second);
  EXPECT_EQ(heard.last.usage.cached_tokens, 196);
  EXPECT_EQ(heard.last.usage.accepted_tokens, heard.last.usage.drafted_tokens);
  EXPECT_GT(heard.last.usage.accepted_tokens, 50);
  // And once more, when the draft model knows the text.
  const uint64_t read = harness.core.stats().draft_model.tokens;
  harness.alone(second);
  EXPECT_LT(harness.core.stats().draft_model.tokens - read, 150u);
}

// A file holds the target's KV alone, too. The engine that it was saved from knows the text in both models; the one
// that it is restored to must not take what the draft model has in those blocks for that text.
TEST(DraftModel, CatchesUpWithWhatWasRestored) {
  CoreOptions options = with_draft();
  options.prefix_cache = true;
  options.kv.block_bytes = static_cast<int64_t>(FakeRunner::kTokenBytes) * options.block_size;
  options.kv.block_size = options.block_size;
  Request r = request(100);
  r.prompt.clear();
  for (int i = 0; i < 60; ++i) r.prompt.push_back(static_cast<TokenId>(i % 37));
  Drafting first(options), second(options);
  first.alone(r);
  const Result<SavedKv> kv = first.core.export_kv(r.prompt, "");
  ASSERT_TRUE(kv.is_ok()) << kv.status().message();
  Request other = r;
  other.prompt.front() = 38;  // fills the same blocks with another text
  second.alone(other);
  ASSERT_TRUE(second.core.import_kv(*kv, "").is_ok());
  const Heard heard = second.alone(r);
  EXPECT_GE(heard.last.usage.cached_tokens, 56);
  EXPECT_EQ(heard.tokens, without(r).tokens);
  EXPECT_GT(heard.last.usage.accepted_tokens, 50);
  EXPECT_EQ(heard.last.usage.accepted_tokens, heard.last.usage.drafted_tokens);
}

TEST(DraftModel, ThatFailsCostsGuessesAndNothingElse) {
  Drafting harness;
  harness.draft->fail_at_step = 3;
  EXPECT_EQ(harness.alone(request(100)).tokens, without(request(100)).tokens);
  EXPECT_EQ(harness.core.stats().draft_model.failures, 1u);
  EXPECT_GT(harness.by_model().accepted_tokens, 30u) << "it does not go on after the failure";
  EXPECT_EQ(harness.by_model().accepted_tokens, harness.by_model().drafted_tokens);
}

TEST(DraftModel, WithASmallerVocabularyGuessesNoneOfTheOthersAndStopsWhereItCannotRead) {
  DraftModelLimits limits = limits_for(with_draft());
  limits.vocab_size = 20;
  for (const TokenId unreadable : {20, 38}) {
    Drafting harness(with_draft(), 0, limits);
    Request r = request(60);
    r.prompt = {5, 6, unreadable, 8};
    EXPECT_EQ(harness.alone(r).tokens, without(r).tokens);
    EXPECT_EQ(harness.core.stats().draft_model.tokens, 0u);
  }
  Drafting harness(with_draft(), 0, limits);
  Request r = request(30);
  r.sampling.logit_bias.clear();
  for (TokenId t = 20; t < kFakeVocab; ++t) r.sampling.logit_bias.emplace_back(t, -100.0f);
  EXPECT_EQ(harness.alone(r).tokens, without(r).tokens);
  EXPECT_GT(harness.by_model().accepted_tokens, 5u);
}

TEST(DraftModel, GuessesNothingBehindTheContextItWasTrainedFor) {
  DraftModelLimits limits = limits_for(with_draft());
  limits.max_context = 40;
  Drafting harness(with_draft(), 0, limits);
  EXPECT_EQ(harness.alone(request(200)).tokens, without(request(200)).tokens);
  EXPECT_GT(harness.by_model().accepted_tokens, 20u);
  EXPECT_LE(harness.by_model().drafted_tokens, 40u);
}

TEST(DraftModel, WhoseLogitsAreNotNumbersGuessesNothing) {
  Drafting harness;
  Request r = request(60);
  r.prompt = {5, 6, 7, kFakePoison, 5, 6};
  const Heard expected = without(r), heard = harness.alone(r);
  EXPECT_EQ(heard.last.reason, FinishReason::kError);
  EXPECT_EQ(heard.tokens, expected.tokens);
}

// Both sources at once: the lookup guesses in circles, the draft model elsewhere, and each is counted for itself.
TEST(DraftModel, SharesTheWorkWithTheLookupAndIsCountedBesideIt) {
  Drafting harness(with_draft(), 99);
  std::vector<Request> requests;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    requests.push_back(request(100, 0.8f, SpeculationMode::kBoth));
    requests.back().sampling.seed = seed;
  }
  const std::vector<Heard> heard = harness.together(requests);
  int drafted = 0;
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(heard[i].tokens, without(requests[i]).tokens);
    drafted += heard[i].last.usage.drafted_tokens;
  }
  const EngineStats stats = harness.core.stats();
  for (const GuessCounts& counts : stats.guesses) EXPECT_GT(counts.accepted_tokens, 20u);
  EXPECT_EQ(stats.guesses[0].drafted_tokens + stats.guesses[1].drafted_tokens, stats.drafted_tokens);
  EXPECT_EQ(stats.drafted_tokens, static_cast<uint64_t>(drafted));
}

TEST(DraftModel, ThatIsNotThereIsRefusedByName) {
  CoreOptions options = with_draft();
  options.requests.has_draft_model = false;
  EngineCore core(options, std::make_unique<FakeRunner>(400, 4), std::make_shared<FakeTokenizer>());
  for (const SpeculationMode mode : {SpeculationMode::kDraft, SpeculationMode::kBoth}) {
    const auto id = core.submit(request(5, 0, mode), [](Event) {});
    ASSERT_FALSE(id.is_ok());
    EXPECT_EQ(id.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(id.status().message().find("no draft model"), std::string::npos);
  }
}

// With a draft model that is right often, and with one that prefers what the target says rarely.
TEST(DraftModel, SampledTokensFollowTheTargetsDistribution) {
  const std::vector<float> similar = {2.0f, 1.0f}, other = {0.0f, 0.0f, 0.0f, 0.0f, 3.0f};
  for (const float temperature : {0.7f, 1.0f}) {
    for (const std::vector<float>& guesses : {similar, other}) {
      EngineCore core(
          with_draft(), std::make_unique<ConstantRunner>(kKnownLogits), std::make_shared<FakeTokenizer>(), nullptr,
          std::make_unique<DraftModel>(limits_for(with_draft()), std::make_unique<ConstantRunner>(guesses)));
      expect_draws_follow_known_logits(core, request(30, temperature));
      const EngineStats stats = core.stats();
      EXPECT_GT(stats.drafted_tokens - stats.accepted_tokens, 1000u);
      EXPECT_GT(stats.accepted_tokens, 30u);
    }
  }
}

}  // namespace
}  // namespace ferrum
