// Random mixed workloads over the fake model: whatever else is in the engine, a request gets the tokens it gets alone.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <random>

#include "engine/engine_core.h"
#include "engine/workload_for_test.h"

namespace ferrum {
namespace {

constexpr float kHabit = 6;  // of half of the workloads: their texts repeat themselves, so that guesses are right

std::unique_ptr<EngineCore> make_core(const CoreOptions& o, float habit, std::chrono::microseconds delay = {}) {
  auto runner = std::make_unique<FakeRunner>(o.num_blocks, o.block_size);
  runner->delay = delay;
  runner->habit = habit;
  // The draft model has the habit, and else its own opinion. The fake model looks back one position.
  auto draft = std::make_unique<FakeRunner>(o.num_blocks, o.block_size);
  draft->habit = habit;
  draft->salt = 99;
  return std::make_unique<EngineCore>(
      o, std::move(runner), std::make_shared<FakeTokenizer>(), nullptr,
      std::make_unique<DraftModel>(draft_limits(o, o.window > 0 ? 2 : 0), std::move(draft)));
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

// One workload on one tight engine, step by step.
EngineStats run_mixed(uint64_t seed) {
  Workload w(seed);
  const float habit = seed % 2 == 0 ? 0 : kHabit;
  CoreOptions options = w.tight();
  if (w.pick(3) == 0) {
    const int64_t block_bytes = static_cast<int64_t>(FakeRunner::kTokenBytes) * options.block_size;
    options.swap = *SwapSpace::create(block_bytes * (1 + w.pick(60)), block_bytes, 1, SwapPolicy::kAlways);
  }
  const auto core = make_core(options, habit);
  const auto count = static_cast<size_t>(4 + w.pick(16));
  std::vector<Request> requests;
  std::vector<Heard> heard(count);
  std::vector<RequestId> ids;
  std::vector<Request> asked;  // the same, of which some have embeddings for ids
  for (size_t i = 0; i < count; ++i) {
    Request& r = requests.emplace_back(w.request());
    const bool embeds = w.pick(3) == 0;
    if (embeds) r = Workload::embeddable(std::move(r));
    asked.push_back(embeds ? w.embedded(r, fake_embedding) : r);
  }
  bool busy = true;
  while (busy || ids.size() < count) {
    while (ids.size() < count && w.pick(4) == 0) {
      Heard& h = heard[ids.size()];
      const auto id = core->submit(asked[ids.size()], [&h](Event e) { h(std::move(e)); });
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
    EXPECT_TRUE(heard[i].hidden.size() <= kFakeHidden || usage.cached_tokens == 0);
  }
  EXPECT_EQ(core->stats().kv_blocks_used, 0);
  return core->stats();
}

TEST(EngineMixed, EachRequestGetsTheTokensItGetsAloneIn1000RandomWorkloads) {
  uint64_t preemptions = 0, accepted = 0, rejected = 0, hits = 0, evictions = 0, swapped = 0;
  for (uint64_t seed = 0; seed < 1000 && !HasFailure(); ++seed) {
    const EngineStats stats = run_mixed(seed);
    preemptions += stats.preemptions;
    hits += stats.prefix_hits;
    evictions += stats.prefix_evictions;
    swapped += stats.swapped_in;
    accepted += stats.accepted_tokens;
    rejected += stats.drafted_tokens - stats.accepted_tokens;
  }
  EXPECT_GT(preemptions, 1000u) << "the pools were never short";
  EXPECT_GT(hits, 1000u) << "no prefix was in the cache";
  EXPECT_GT(evictions, 1000u) << "the cache was never full";
  EXPECT_GT(swapped, 1000u) << "nothing came back from swap space";
  EXPECT_GT(accepted, 10000u) << "no guess was right";
  EXPECT_GT(rejected, 10000u) << "no guess was wrong";
}

// 64 client threads submit, cancel and look on while the engine runs up to 64 streams, for the thread sanitizer, and
// for lost requests. A client waits for every second stream, so that there are always many and sometimes too many.
TEST(EngineMixed, Survives64StreamsWithRandomCancels) {
  constexpr int kThreads = 64, kRequests = 6;
  CoreOptions o;
  o.block_size = 4;
  o.requests = {kFakeVocab, 130};
  o.num_blocks = 800;  // of the 2080 that they could fill
  o.scheduler = {kThreads, 96, 80, 20};
  o.prefix_cache = true;
  std::atomic<int> most_running{0}, ended{0}, accepted{0}, refused{0}, cancelled{0};
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
        auto over = std::make_shared<std::promise<void>>();
        const auto id = core->submit(request, [&, heard, request, over](Event e) {
          const bool last = e.finished;
          (*heard)(std::move(e));
          if (!last) return;
          if (heard->last.reason == FinishReason::kCancelled) ++cancelled;
          std::lock_guard lock(results_mutex);
          results.emplace_back(request, *heard);
          ++ended;
          over->set_value();
        });
        id.is_ok() ? ++accepted : ++refused;
        if (id.is_ok() && w.pick(3) == 0) {
          std::this_thread::sleep_for(std::chrono::microseconds(w.pick(4000)));
          core->cancel(*id);
        }
        const int running = core->stats().running;
        for (int most = most_running; running > most && !most_running.compare_exchange_weak(most, running);) {
        }
        if (id.is_ok() && i % 2 == 1) over->get_future().wait();
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
  EXPECT_LE(most_running, kThreads);
  EXPECT_GE(most_running, kThreads / 2);
  EXPECT_EQ(static_cast<int>(results.size()), accepted);
  EXPECT_GT(accepted - cancelled, 10);
  for (const auto& [request, heard] : results) expect_same(heard, alone(request, kHabit));
}

}  // namespace
}  // namespace ferrum
