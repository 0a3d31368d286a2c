// Random mixed workloads over real forward passes: whatever else is in the engine, a request gets the tokens, the text
// and, to the bit, the log-probabilities it gets alone. What must not matter is drawn at random: who is with it, when
// it comes, who is cancelled, how prompts are cut, whether its KV was found, dropped, computed again or is that of
// another answer to the same prompt, what is guessed, the size of blocks, the number of threads, and whether ids or
// their rows of the embedding table are given. The family of the model and the type of the KV stay for a run.
#include <gtest/gtest.h>

#include <array>

#include "engine/workload_for_test.h"
#include "tests/model_core_for_test.h"

namespace ferrum {
namespace {

// "mistral" has a window of 8 tokens, the last two have experts.
constexpr std::array kFamilies = {"llama3", "qwen2", "qwen3", "mistral", "qwen2moe", "mixtral"};
constexpr std::array kTypes = {DType::kF16, DType::kBF16, DType::kF32, DType::kI8};

constexpr int kMostGenerated = 30, kLongest = 60 + kMostGenerated;  // tokens of a request; the prompts are Workload's

constexpr int kMostChoices = 3;

// Requests to one model with one type of KV, and what each choice of each is told alone, without speculation and
// without a cache.
class Bank {
 public:
  Bank(const char* model, DType dtype, uint64_t seed) : family(model), kv_dtype(dtype) {
    Workload w(seed);
    const auto core = model_core(family, {}, Workload::roomy(), kv_dtype);
    for (int i = 0; i < 20; ++i) {
      Request r = w.request();
      if (r.stop.max_tokens < 0 || r.stop.max_tokens > kMostGenerated) r.stop.max_tokens = kMostGenerated;
      if (i % 3 == 0) r.sampling.temperature = 0;
      if (i % 2 == 0) r = Workload::embeddable(std::move(r));
      requests.push_back(r);
      r.speculation.reset();
      for (Heard& heard : told.emplace_back()) {
        EXPECT_TRUE(core->submit(r, [&](Event e) { heard(std::move(e)); }).is_ok());
        while (*core->step()) {
        }
        ++*r.sampling.seed;
      }
    }
  }

  const char* const family;
  const DType kv_dtype;
  const std::function<std::vector<float>(TokenId)> row_of = embedding_rows(family);
  std::vector<Request> requests;
  std::vector<std::array<Heard, kMostChoices>> told;
};

CoreOptions random_engine(Workload& w) {
  CoreOptions o = w.tight();
  o.requests.max_model_len = kLongest;
  o.num_blocks = (kLongest + o.block_size - 1) / o.block_size * (1 + w.pick(2)) + w.pick(4);
  o.window = w.pick(3);  // whether a window frees blocks; how wide it is, the model says
  o.scheduler.whole_prompts = w.pick(4) == 0;
  if (w.pick(4) == 0) o.scheduler.active_decode_prefill_chunk = 1 + w.pick(20);
  if (w.pick(4) == 0) o.scheduler.prefill_first_until_active = 1 + w.pick(6);
  return o;
}

// Some requests of the bank on one tight engine, step by step.
EngineStats run_mixed(const Bank& bank, uint64_t seed) {
  Workload w(seed);
  const ModelDevice device{"cpu", "auto", w.pick(8) == 0 ? 2 : 1};
  const CoreOptions options = random_engine(w);
  const auto core = model_core(bank.family, device, options, bank.kv_dtype, w.pick(2) * (1 + w.pick(40)));
  const auto count = static_cast<size_t>(3 + w.pick(6));
  struct Asked {
    size_t request = 0, choices = 0;
    std::array<Heard, kMostChoices> heard;
  };
  std::vector<Asked> asked;
  asked.reserve(count);
  std::vector<RequestId> ids;
  bool busy = true;
  while (busy || asked.size() < count) {
    while (asked.size() < count && w.pick(2) == 0) {
      Asked& one = asked.emplace_back();
      one.request = static_cast<size_t>(w.pick(static_cast<int>(bank.requests.size())));
      one.choices = w.pick(3) == 0 ? static_cast<size_t>(1 + w.pick(kMostChoices)) : 1;
      std::vector<EventSink> sinks;
      for (size_t i = 0; i < one.choices; ++i) sinks.emplace_back([&one, i](Event e) { one.heard[i](std::move(e)); });
      Request request = bank.requests[one.request];
      if (one.request % 2 == 0 && w.pick(2) == 0) request = w.embedded(request, bank.row_of);
      const auto more = core->submit(std::move(request), std::move(sinks));
      EXPECT_TRUE(more.is_ok()) << more.status().message();
      if (!more.is_ok()) return {};
      ids.insert(ids.end(), more->begin(), more->end());
    }
    if (!ids.empty() && w.pick(80) == 0) core->cancel(ids[static_cast<size_t>(w.pick(static_cast<int>(ids.size())))]);
    busy = *core->step();
    EXPECT_EQ(core->violations(), std::vector<std::string>{});
  }
  for (const Asked& one : asked) {
    for (size_t i = 0; i < one.choices; ++i) {
      SCOPED_TRACE(::testing::Message() << "workload " << seed << " request " << one.request << " choice " << i);
      expect_same(one.heard[i], bank.told[one.request][i]);
    }
  }
  EXPECT_EQ(core->stats().kv_blocks_used, 0);
  return core->stats();
}

TEST(EngineMixedModels, EachRequestGetsTheTokensItGetsAlone) {
  uint64_t seed = 0;
  EngineStats sum;
  for (const char* family : kFamilies) {
    for (const DType kv_dtype : kTypes) {
      SCOPED_TRACE(std::string(family) + " with KV of " + std::string(to_string(kv_dtype)));
      const Bank bank(family, kv_dtype, 100000 + seed);
      const uint64_t end = seed + FERRUM_WORKLOADS / (kFamilies.size() * kTypes.size());
      for (; seed < end && !HasFailure(); ++seed) {
        const EngineStats stats = run_mixed(bank, seed);
        sum.preemptions += stats.preemptions;
        sum.prefix_hits += stats.prefix_hits;
        sum.prefix_evictions += stats.prefix_evictions;
        sum.swapped_in += stats.swapped_in;
        sum.drafted_tokens += stats.drafted_tokens;
        sum.accepted_tokens += stats.accepted_tokens;
      }
    }
  }
  EXPECT_GT(sum.preemptions, seed / 2) << "the pools were never short";
  EXPECT_GT(sum.prefix_hits, seed) << "no prefix was in the cache";
  EXPECT_GT(sum.prefix_evictions, seed) << "the cache was never full";
  EXPECT_GT(sum.swapped_in, seed) << "nothing came back from swap space";
  EXPECT_GT(sum.accepted_tokens, seed) << "no guess was right";
  EXPECT_GT(sum.drafted_tokens - sum.accepted_tokens, seed) << "no guess was wrong";
}

}  // namespace
}  // namespace ferrum
