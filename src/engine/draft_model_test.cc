// A draft model over the fake one: its KV is right wherever the target's is, and no token depends on it.
#include "engine/draft_model.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>

#include "engine/engine_core.h"
#include "engine/fakes_for_test.h"
#include "engine/workload_for_test.h"

namespace ferrum {
namespace {

constexpr float kHabit = 3.5f;  // makes another model's guesses right more often than not

CoreOptions roomy() {
  CoreOptions o;
  o.scheduler = {8, 128, 80, 5000};
  o.requests = {kFakeVocab, 400, true};
  o.num_blocks = 400;
  o.block_size = 4;
  return o;
}

DraftModelLimits limits_for(const CoreOptions& o) { return draft_limits(o, o.window); }

// An engine whose draft model is the target itself (salt 0), or another one.
struct Harness {
  explicit Harness(const CoreOptions& options = roomy(), uint64_t salt = 0)
      : Harness(options, salt, limits_for(options)) {}
  Harness(const CoreOptions& options, uint64_t salt, const DraftModelLimits& limits)
      : target(new FakeRunner(options.num_blocks, options.block_size)),
        draft(new FakeRunner(options.num_blocks, options.block_size)),
        core(options, std::unique_ptr<StepRunner>(target), std::make_shared<FakeTokenizer>(), nullptr,
             std::make_unique<DraftModel>(limits, std::unique_ptr<StepRunner>(draft))) {
    target->habit = draft->habit = kHabit;
    draft->salt = salt;
  }
  std::vector<Heard> hear(const std::vector<Request>& requests) {
    std::vector<Heard> heard(requests.size());
    for (size_t i = 0; i < requests.size(); ++i) {
      EXPECT_TRUE(core.submit(requests[i], [&heard, i](Event e) { heard[i](std::move(e)); }).is_ok());
    }
    while (*core.step()) EXPECT_EQ(core.violations(), std::vector<std::string>{});
    EXPECT_EQ(core.stats().kv_blocks_used, 0);
    return heard;
  }
  Heard hear(const Request& request) { return hear(std::vector<Request>{request}).front(); }
  const GuessCounts by_model() const { return core.stats().guesses[static_cast<size_t>(GuessSource::kDraft)]; }

  FakeRunner *target, *draft;  // owned by core
  EngineCore core;
};

Request request(int max_tokens, float temperature = 0, SpeculationMode mode = SpeculationMode::kDraft) {
  Request r;
  r.prompt = {5, 6, 7, 8};
  r.stop.max_tokens = max_tokens;
  r.stop.ignore_eos = true;
  r.sampling.temperature = temperature;
  r.sampling.seed = 11;
  r.speculation = SpeculationParams{mode, 8, 1, 4};
  return r;
}

Heard without(Request r) {
  r.speculation.reset();
  return Harness().hear(r);
}

TEST(DraftModel, ThatIsTheTargetIsAlwaysRightAndSavesMostSteps) {
  Harness harness;
  EXPECT_EQ(harness.hear(request(200)).tokens, without(request(200)).tokens);
  const GuessCounts counts = harness.by_model();
  EXPECT_EQ(counts.accepted_tokens, counts.drafted_tokens);
  EXPECT_LT(harness.target->steps(), 60);
  EXPECT_EQ(harness.core.stats().steps, 200 - counts.accepted_tokens);
}

TEST(DraftModel, ThatIsAnotherModelChangesNoTokenAtAnyTemperature) {
  for (const float temperature : {0.0f, 0.7f, 1.0f}) {
    Harness harness(roomy(), 99);
    EXPECT_EQ(harness.hear(request(200, temperature)).tokens, without(request(200, temperature)).tokens);
    const GuessCounts counts = harness.by_model();
    EXPECT_GT(counts.accepted_tokens, 3u);
    EXPECT_LT(counts.accepted_tokens, counts.drafted_tokens);
  }
}

// Random workloads on pools that are short: prompts in chunks, preemption, texts found in the prefix cache (computed
// with and without the draft model), windows, cancels. A draft model that is the target guesses right as long as its KV
// is what the target's is, so one wrong guess shows one wrong slot.
struct Mixed {
  explicit Mixed(uint64_t seed) : rng(seed) {
    for (std::vector<TokenId>& opening : openings) opening = tokens(50);
    options.block_size = 1 << pick(5);
    options.requests = {kFakeVocab, 130, true};
    options.num_blocks = (130 + options.block_size - 1) / options.block_size * (1 + pick(3)) + pick(5);
    const int seqs = 2 + pick(10);
    options.scheduler = {seqs, 1 + pick(50), seqs + 1 + pick(20), 1000};
    options.prefix_cache = pick(3) != 0;
    options.window = pick(3) == 0 ? 2 + pick(40) : 0;  // the fake model looks back one position
  }
  int pick(int n) { return static_cast<int>(rng() % static_cast<uint64_t>(n)); }
  std::vector<TokenId> tokens(int count) {
    std::vector<TokenId> all;
    for (; count > 0; --count) all.push_back(static_cast<TokenId>(pick(kFakeVocab - 1)));
    return all;
  }
  Request greedy() {
    Request r = request(1 + pick(70), 0,
                        std::array{SpeculationMode::kOff, SpeculationMode::kDraft, SpeculationMode::kDraft,
                                   SpeculationMode::kBoth}[pick(4)]);
    r.prompt = openings[static_cast<size_t>(pick(2))];
    r.prompt.resize(static_cast<size_t>(pick(51)));
    const std::vector<TokenId> rest = tokens(1 + pick(59 - static_cast<int>(r.prompt.size())));
    r.prompt.insert(r.prompt.end(), rest.begin(), rest.end());
    r.speculation->max_draft = 1 + pick(12);
    return r;
  }

  std::mt19937_64 rng;
  std::array<std::vector<TokenId>, 2> openings;
  CoreOptions options;
};

EngineStats run_mixed(uint64_t seed, uint64_t salt) {
  Mixed mixed(seed);
  DraftModelLimits limits = limits_for(mixed.options);
  limits.window = mixed.options.window > 0 ? 2 : 0;  // what the fake model needs
  Harness harness(mixed.options, salt, limits);
  const auto count = static_cast<size_t>(4 + mixed.pick(12));
  std::vector<Request> requests;
  std::vector<Heard> heard(count);
  for (size_t i = 0; i < count; ++i) requests.push_back(mixed.greedy());
  size_t submitted = 0;
  std::vector<RequestId> ids;
  for (bool busy = true; busy || submitted < count;) {
    while (submitted < count && mixed.pick(4) == 0) {
      Heard& h = heard[submitted];
      const auto id = harness.core.submit(requests[submitted++], [&h](Event e) { h(std::move(e)); });
      EXPECT_TRUE(id.is_ok()) << id.status().message();
      ids.push_back(*id);
    }
    if (!ids.empty() && mixed.pick(80) == 0) harness.core.cancel(ids[mixed.rng() % ids.size()]);
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
  uint64_t preemptions = 0, accepted = 0, hits = 0;
  for (uint64_t seed = 0; seed < 250 && !HasFailure(); ++seed) {
    const EngineStats stats = run_mixed(seed, 0);
    const GuessCounts& counts = stats.guesses[static_cast<size_t>(GuessSource::kDraft)];
    EXPECT_EQ(counts.accepted_tokens, counts.drafted_tokens) << "workload " << seed;
    preemptions += stats.preemptions;
    accepted += counts.accepted_tokens;
    hits += stats.prefix_hits;
  }
  EXPECT_GT(accepted, 10000u);
  EXPECT_GT(preemptions, 200u) << "the pools were never short";
  EXPECT_GT(hits, 200u) << "no prefix was in the cache";
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
  CoreOptions options = roomy();
  options.prefix_cache = true;
  options.scheduler.max_batched_tokens = 16;
  Harness harness(options);
  Request first = request(1, 0, SpeculationMode::kOff), second = request(100);
  first.prompt.clear();
  for (int i = 0; i < 200; ++i) first.prompt.push_back(static_cast<TokenId>(i % 37));
  second.prompt = first.prompt;
  harness.hear(first);
  EXPECT_EQ(harness.core.stats().draft_model.tokens, 0u);
  const Heard heard = harness.hear(second);
  EXPECT_EQ(heard.last.usage.cached_tokens, 196);
  EXPECT_EQ(heard.last.usage.accepted_tokens, heard.last.usage.drafted_tokens);
  EXPECT_GT(heard.last.usage.accepted_tokens, 50);
  // And once more, when the draft model knows the text.
  const uint64_t read = harness.core.stats().draft_model.tokens;
  harness.hear(second);
  EXPECT_LT(harness.core.stats().draft_model.tokens - read, 150u);
}

TEST(DraftModel, ThatFailsCostsGuessesAndNothingElse) {
  Harness harness;
  harness.draft->fail_at_step = 3;
  EXPECT_EQ(harness.hear(request(100)).tokens, without(request(100)).tokens);
  EXPECT_EQ(harness.core.stats().draft_model.failures, 1u);
  EXPECT_GT(harness.by_model().accepted_tokens, 30u) << "it does not go on after the failure";
  EXPECT_EQ(harness.by_model().accepted_tokens, harness.by_model().drafted_tokens);
}

TEST(DraftModel, WithASmallerVocabularyGuessesNoneOfTheOthersAndStopsWhereItCannotRead) {
  DraftModelLimits limits = limits_for(roomy());
  limits.vocab_size = 20;
  for (const TokenId unreadable : {20, 38}) {
    Harness harness(roomy(), 0, limits);
    Request r = request(60);
    r.prompt = {5, 6, unreadable, 8};
    EXPECT_EQ(harness.hear(r).tokens, without(r).tokens);
    EXPECT_EQ(harness.core.stats().draft_model.tokens, 0u);
  }
  Harness harness(roomy(), 0, limits);
  Request r = request(30);
  r.sampling.logit_bias.clear();
  for (TokenId t = 20; t < kFakeVocab; ++t) r.sampling.logit_bias.emplace_back(t, -100.0f);
  EXPECT_EQ(harness.hear(r).tokens, without(r).tokens);
  EXPECT_GT(harness.by_model().accepted_tokens, 5u);
}

TEST(DraftModel, GuessesNothingBehindTheContextItWasTrainedFor) {
  DraftModelLimits limits = limits_for(roomy());
  limits.max_context = 40;
  Harness harness(roomy(), 0, limits);
  EXPECT_EQ(harness.hear(request(200)).tokens, without(request(200)).tokens);
  EXPECT_GT(harness.by_model().accepted_tokens, 20u);
  EXPECT_LE(harness.by_model().drafted_tokens, 40u);
}

TEST(DraftModel, WhoseLogitsAreNotNumbersGuessesNothing) {
  Harness harness;
  Request r = request(60);
  r.prompt = {5, 6, 7, kFakePoison, 5, 6};
  const Heard expected = without(r), heard = harness.hear(r);
  EXPECT_EQ(heard.last.reason, FinishReason::kError);
  EXPECT_EQ(heard.tokens, expected.tokens);
}

// Both sources at once: the lookup guesses in circles, the draft model elsewhere, and each is counted for itself.
TEST(DraftModel, SharesTheWorkWithTheLookupAndIsCountedBesideIt) {
  Harness harness(roomy(), 99);
  std::vector<Request> requests;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    requests.push_back(request(100, 0.8f, SpeculationMode::kBoth));
    requests.back().sampling.seed = seed;
  }
  const std::vector<Heard> heard = harness.hear(requests);
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
  CoreOptions options = roomy();
  options.requests.has_draft_model = false;
  EngineCore core(options, std::make_unique<FakeRunner>(400, 4), std::make_shared<FakeTokenizer>());
  for (const SpeculationMode mode : {SpeculationMode::kDraft, SpeculationMode::kBoth}) {
    const auto id = core.submit(request(5, 0, mode), [](Event) {});
    ASSERT_FALSE(id.is_ok());
    EXPECT_EQ(id.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(id.status().message().find("no draft model"), std::string::npos);
  }
}

// Logits that are the same everywhere: every token of every answer is a draw from one known distribution. A draft model
// with one of its own guesses its most likely token always.
class ConstantRunner : public StepRunner {
 public:
  explicit ConstantRunner(std::vector<float> logits) : row_(kFakeVocab, -INFINITY) {
    std::copy(logits.begin(), logits.end(), row_.begin() + 3);
  }
  Result<ConstView> run(const Batch& batch) override {
    logits_.clear();
    for (int i = 0; i < batch.num_logits(); ++i) logits_.insert(logits_.end(), row_.begin(), row_.end());
    return ConstView(logits_.data(), DType::kF32, {batch.num_logits(), kFakeVocab});
  }

 private:
  std::vector<float> row_, logits_;
};

// Pearson's statistic over all tokens of 1,000 answers, with a draft model that is right often, and with one that
// prefers what the target says rarely.
TEST(DraftModel, SampledTokensFollowTheTargetsDistribution) {
  constexpr double kCritical = 24.32;  // chi-square, 7 degrees of freedom, p = 0.001
  const std::vector<float> logits = {3.0f, 2.5f, 2.4f, 2.0f, 1.0f, 0.5f, 0.0f, -1.0f};
  const std::vector<float> similar = {2.0f, 1.0f}, other = {0.0f, 0.0f, 0.0f, 0.0f, 3.0f};
  for (const double temperature : {0.7, 1.0}) {
    for (const std::vector<float>& guesses : {similar, other}) {
      EngineCore core(roomy(), std::make_unique<ConstantRunner>(logits), std::make_shared<FakeTokenizer>(), nullptr,
                      std::make_unique<DraftModel>(limits_for(roomy()), std::make_unique<ConstantRunner>(guesses)));
      std::array<double, 8> seen{};
      double total = 0;
      for (uint64_t seed = 0; seed < 1000; ++seed) {
        Request r = request(30, static_cast<float>(temperature));
        r.sampling.seed = seed;
        const auto sink = [&](Event e) {
          for (const TokenId t : e.tokens) ++seen.at(static_cast<size_t>(t - 3)), ++total;
        };
        ASSERT_TRUE(core.submit(r, sink).is_ok());
      }
      while (*core.step()) {
      }
      double weight = 0, statistic = 0;
      for (const float logit : logits) weight += std::exp(logit / temperature);
      for (size_t t = 0; t < seen.size(); ++t) {
        const double expected = total * std::exp(logits[t] / temperature) / weight;
        statistic += (seen[t] - expected) * (seen[t] - expected) / expected;
      }
      EXPECT_EQ(total, 30000);
      EXPECT_LT(statistic, kCritical) << "temperature " << temperature;
      const EngineStats stats = core.stats();
      EXPECT_GT(stats.drafted_tokens - stats.accepted_tokens, 1000u);
      EXPECT_GT(stats.accepted_tokens, 30u);
    }
  }
}

}  // namespace
}  // namespace ferrum
