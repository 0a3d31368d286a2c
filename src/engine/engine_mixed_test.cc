// Random mixed workloads over the fake model: whatever else is in the engine, a request gets the tokens it gets alone.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <mutex>
#include <random>

#include "engine/engine_core.h"
#include "engine/fakes_for_test.h"

namespace ferrum {
namespace {

class Workload {
 public:
  explicit Workload(uint64_t seed) : rng_(seed), openings_{random_tokens(50), random_tokens(50)} {}

  int pick(int n) { return static_cast<int>(rng_() % static_cast<uint64_t>(n)); }

  Request request() {
    Request r;
    if (pick(2) == 0) {  // two texts begin the same way
      r.prompt = openings_[static_cast<size_t>(pick(2))];
      r.prompt.resize(static_cast<size_t>(pick(51)));
    }
    const std::vector<TokenId> rest = random_tokens(1 + pick(60 - static_cast<int>(r.prompt.size())));
    r.prompt.insert(r.prompt.end(), rest.begin(), rest.end());
    if (pick(4) == 0) r.cache_salt = "another tenant";
    r.stop.max_tokens = pick(5) == 0 ? -1 : pick(90);
    r.stop.ignore_eos = pick(4) != 0;
    if (pick(3) == 0) r.stop.stop = {"abcab", "cccc", "babab"};
    r.stop.include_stop = pick(4) == 0;
    r.sampling = sampling();
    r.prompt_logprobs = r.sampling.logprobs >= 0 && pick(2) == 0;
    if (pick(3) != 0) r.speculation = speculation();
    return r;
  }

  // A pool that holds one longest sequence, and often not much more.
  CoreOptions tight() {
    CoreOptions o;
    o.block_size = 1 << pick(5);
    o.requests = {kFakeVocab, 130};
    o.num_blocks = (130 + o.block_size - 1) / o.block_size * (1 + pick(3)) + pick(5);
    const int seqs = 2 + pick(10);
    o.scheduler = {seqs, 1 + pick(50), seqs + 1 + pick(20), 1000};
    o.prefix_cache = pick(3) != 0;
    o.window = pick(3) == 0 ? 2 + pick(40) : 0;  // the fake model looks back one position
    return o;
  }
  static CoreOptions roomy() {
    CoreOptions o;
    o.block_size = 16;
    o.requests = {kFakeVocab, 130};
    o.num_blocks = 100;
    o.scheduler = {4, 512, 600, 1000};
    return o;
  }

 private:
  std::vector<TokenId> random_tokens(int count) {
    std::vector<TokenId> tokens;
    for (; count > 0; --count) tokens.push_back(static_cast<TokenId>(pick(kFakeVocab - 1)));
    return tokens;
  }
  SamplingParams sampling() {
    SamplingParams p;
    p.seed = rng_();
    p.temperature = std::array{0.0f, 0.7f, 1.0f, 1.5f}[static_cast<size_t>(pick(4))];
    if (pick(3) == 0) p.top_k = 1 + pick(20);
    if (pick(3) == 0) p.top_p = 0.9f;
    if (pick(4) == 0) p.min_p = 0.1f;
    if (pick(4) == 0) p.typical_p = 0.8f;
    if (pick(3) == 0) {
      p.repetition_penalty = 1.2f;
      p.frequency_penalty = 0.3f;
      p.penalty_window = pick(2) == 0 ? -1 : 10;
    }
    if (pick(4) == 0) p.logit_bias = {{kFakeEnd, -5.0f}, {7, 2.0f}};
    if (pick(3) == 0) p.logprobs = pick(4);
    return p;
  }
  SpeculationParams speculation() {
    SpeculationParams p;
    p.mode = SpeculationMode::kNgram;
    p.max_draft = 1 + pick(12);
    p.ngram_min = 1 + pick(2);
    p.ngram_max = p.ngram_min + pick(3);
    return p;
  }
  std::mt19937_64 rng_;
  std::array<std::vector<TokenId>, 2> openings_;
};

constexpr float kHabit = 6;  // of half of the workloads: their texts repeat themselves, so that guesses are right

std::unique_ptr<EngineCore> make_core(const CoreOptions& o, float habit, std::chrono::microseconds delay = {}) {
  auto runner = std::make_unique<FakeRunner>(o.num_blocks, o.block_size);
  runner->delay = delay;
  runner->habit = habit;
  return std::make_unique<EngineCore>(o, std::move(runner), std::make_shared<FakeTokenizer>());
}

// Alone, and without speculation.
Heard alone(Request request, float habit) {
  const auto core = make_core(Workload::roomy(), habit);
  request.speculation.reset();
  Heard heard;
  EXPECT_TRUE(core->submit(request, [&](Event e) { heard(std::move(e)); }).is_ok());
  while (*core->step()) {
  }
  return heard;
}

bool same(const std::vector<PositionLogprobs>& a, const std::vector<PositionLogprobs>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    const auto equal = [](const TokenLogprob& s, const TokenLogprob& t) {
      return s.token == t.token && s.logprob == t.logprob;
    };
    return equal(x.chosen, y.chosen) && std::equal(x.top.begin(), x.top.end(), y.top.begin(), y.top.end(), equal);
  });
}

// cancelled: what was heard must be a beginning of what would have been heard.
void expect_same(const Heard& got, const Heard& expected) {
  ASSERT_TRUE(got.last.finished);
  if (got.last.reason == FinishReason::kCancelled) {
    ASSERT_LE(got.tokens.size(), expected.tokens.size());
    ASSERT_TRUE(std::equal(got.tokens.begin(), got.tokens.end(), expected.tokens.begin()));
    return;
  }
  ASSERT_EQ(got.tokens, expected.tokens);
  ASSERT_EQ(got.text, expected.text);
  ASSERT_EQ(got.last.reason, expected.last.reason);
  ASSERT_EQ(got.last.stop_match, expected.last.stop_match);
  ASSERT_EQ(got.last.usage.completion_tokens, expected.last.usage.completion_tokens);
  ASSERT_TRUE(same(got.logprobs, expected.logprobs));
  ASSERT_TRUE(same(got.prompt_logprobs, expected.prompt_logprobs));
}

// One workload on one tight engine, step by step.
EngineStats run_mixed(uint64_t seed) {
  Workload w(seed);
  const float habit = seed % 2 == 0 ? 0 : kHabit;
  const auto core = make_core(w.tight(), habit);
  const auto count = static_cast<size_t>(4 + w.pick(16));
  std::vector<Request> requests;
  std::vector<Heard> heard(count);
  std::vector<RequestId> ids;
  for (size_t i = 0; i < count; ++i) requests.push_back(w.request());
  bool busy = true;
  while (busy || ids.size() < count) {
    while (ids.size() < count && w.pick(4) == 0) {
      Heard& h = heard[ids.size()];
      const auto id = core->submit(requests[ids.size()], [&h](Event e) { h(std::move(e)); });
      EXPECT_TRUE(id.is_ok()) << id.status().message();
      if (!id.is_ok()) return {};
      ids.push_back(*id);
    }
    if (!ids.empty() && w.pick(60) == 0) core->cancel(ids[static_cast<size_t>(w.pick(static_cast<int>(ids.size())))]);
    busy = *core->step();
    EXPECT_EQ(core->violations(), std::vector<std::string>{});
  }
  for (size_t i = 0; i < count; ++i) {
    SCOPED_TRACE(::testing::Message() << "workload " << seed << " request " << i);
    expect_same(heard[i], alone(requests[i], habit));
    const Usage& usage = heard[i].last.usage;
    EXPECT_LT(usage.cached_tokens, usage.prompt_tokens);
    EXPECT_TRUE(!requests[i].prompt_logprobs || usage.cached_tokens == 0);
  }
  EXPECT_EQ(core->stats().kv_blocks_used, 0);
  return core->stats();
}

TEST(EngineMixed, EachRequestGetsTheTokensItGetsAloneIn1000RandomWorkloads) {
  uint64_t preemptions = 0, accepted = 0, rejected = 0, hits = 0, evictions = 0;
  for (uint64_t seed = 0; seed < 1000 && !HasFailure(); ++seed) {
    const EngineStats stats = run_mixed(seed);
    preemptions += stats.preemptions;
    hits += stats.prefix_hits;
    evictions += stats.prefix_evictions;
    accepted += stats.accepted_tokens;
    rejected += stats.drafted_tokens - stats.accepted_tokens;
  }
  EXPECT_GT(preemptions, 1000u) << "the pools were never short";
  EXPECT_GT(hits, 1000u) << "no prefix was in the cache";
  EXPECT_GT(evictions, 1000u) << "the cache was never full";
  EXPECT_GT(accepted, 10000u) << "no guess was right";
  EXPECT_GT(rejected, 10000u) << "no guess was wrong";
}

// 32 client threads submit, cancel and look on while the engine runs: for the thread sanitizer, and for lost requests.
TEST(EngineMixed, SurvivesManyThreadsSubmittingAndCancelling) {
  constexpr int kThreads = 32, kRequests = 12;
  CoreOptions o;
  o.block_size = 4;
  o.requests = {kFakeVocab, 130};
  o.num_blocks = 100;
  o.scheduler = {8, 32, 16, 20};
  o.prefix_cache = true;
  std::atomic<int> ended{0}, accepted{0}, refused{0}, cancelled{0};
  std::mutex results_mutex;
  std::vector<std::pair<Request, Heard>> results;  // of those that ended by themselves
  {
    const auto core = make_core(o, kHabit, std::chrono::microseconds(50));  // so that calls fall into steps
    core->start();
    const auto client = [&](int thread) {
      Workload w(static_cast<uint64_t>(1000 + thread));
      for (int i = 0; i < kRequests; ++i) {
        const Request request = w.request();
        auto heard = std::make_shared<Heard>();  // shared by sink calls only: all on the engine's thread
        const auto id = core->submit(request, [&, heard, request](Event e) {
          const bool last = e.finished;
          (*heard)(std::move(e));
          if (!last) return;
          if (heard->last.reason == FinishReason::kCancelled) ++cancelled;
          std::lock_guard lock(results_mutex);
          results.emplace_back(request, *heard);
          ++ended;
        });
        id.is_ok() ? ++accepted : ++refused;
        if (id.is_ok() && w.pick(3) == 0) {
          std::this_thread::sleep_for(std::chrono::microseconds(w.pick(2000)));
          core->cancel(*id);
        }
        EXPECT_LE(core->stats().running, 8);
      }
    };
    std::vector<std::thread> clients;
    for (int t = 0; t < kThreads; ++t) clients.emplace_back(client, t);
    for (std::thread& t : clients) t.join();
    core->drain();
    EXPECT_EQ(ended, accepted);
    EXPECT_EQ(core->violations(), std::vector<std::string>{});
    EXPECT_EQ(core->stats().kv_blocks_used, 0);
    EXPECT_EQ(core->stats().requests_finished, static_cast<uint64_t>(accepted.load()));
  }
  EXPECT_EQ(accepted + refused, kThreads * kRequests);
  EXPECT_EQ(static_cast<int>(results.size()), accepted);
  EXPECT_GT(accepted - cancelled, 10);
  for (const auto& [request, heard] : results) expect_same(heard, alone(request, kHabit));
}

}  // namespace
}  // namespace ferrum
