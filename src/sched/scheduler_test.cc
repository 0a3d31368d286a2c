#include "sched/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "sched/batch_builder.h"

namespace ferrum {
namespace {

SchedulerLimits limits(int max_seqs, int budget, int max_waiting = 100) {
  return {max_seqs, budget, max_seqs + 8, max_waiting};
}

// Commits a plan in which every sampling row gets one token.
void run(Scheduler& scheduler, StepPlan plan) {
  std::vector<RowOutcome> outcomes;
  for (const PlannedRow& r : plan.rows) outcomes.push_back({r.samples ? 1 : 0, false});
  scheduler.commit(std::move(plan), outcomes);
}

std::vector<SeqId> seqs_of(const StepPlan& plan) {
  std::vector<SeqId> ids;
  for (const PlannedRow& r : plan.rows) ids.push_back(r.seq);
  return ids;
}

TEST(Scheduler, HasNothingToPlanWhenEmpty) {
  BlockAllocator kv(4, 16);
  Scheduler scheduler(limits(2, 32), kv);
  EXPECT_FALSE(scheduler.plan().has_value());
}

TEST(Scheduler, CutsPromptsIntoChunksAndLetsDecodeRowsGoFirst) {
  BlockAllocator kv(64, 16);
  Scheduler scheduler(limits(4, 10), kv);
  ASSERT_TRUE(scheduler.submit({1, 4, 50}).is_ok());
  ASSERT_TRUE(scheduler.submit({2, 25, 50}).is_ok());

  auto plan = scheduler.plan();  // the first prompt whole, the second as far as the budget reaches
  ASSERT_EQ(seqs_of(*plan), (std::vector<SeqId>{1, 2}));
  EXPECT_EQ(plan->rows[0].count, 4);
  EXPECT_TRUE(plan->rows[0].samples);
  EXPECT_EQ(plan->rows[0].logit_count, 1);
  EXPECT_EQ(plan->rows[1].count, 6);
  EXPECT_FALSE(plan->rows[1].samples);
  EXPECT_EQ(plan->rows[1].logit_count, 0);
  run(scheduler, std::move(*plan));

  plan = scheduler.plan();
  EXPECT_EQ(plan->rows[0].begin, 4);
  EXPECT_EQ(plan->rows[0].count, 1);
  EXPECT_EQ(plan->rows[1].begin, 6);
  EXPECT_EQ(plan->rows[1].count, 9);
  run(scheduler, std::move(*plan));

  plan = scheduler.plan();
  EXPECT_EQ(plan->rows[1].begin, 15);
  EXPECT_EQ(plan->rows[1].count, 9);
  EXPECT_FALSE(plan->rows[1].samples);
  run(scheduler, std::move(*plan));
  plan = scheduler.plan();
  EXPECT_EQ(plan->rows[1].count, 1);
  EXPECT_TRUE(plan->rows[1].samples);
  run(scheduler, std::move(*plan));
}

TEST(Scheduler, KeepsATokenForTheOldestPromptWhenDecodeRowsCouldTakeAll) {
  BlockAllocator kv(64, 16);
  Scheduler scheduler(limits(4, 2), kv);
  ASSERT_TRUE(scheduler.submit({1, 30, 40}).is_ok());
  run(scheduler, *scheduler.plan());
  ASSERT_TRUE(scheduler.submit({2, 1, 40}).is_ok());
  ASSERT_TRUE(scheduler.submit({3, 1, 40}).is_ok());
  for (int step = 0; step < 20; ++step) {
    auto plan = scheduler.plan();
    EXPECT_TRUE(std::any_of(plan->rows.begin(), plan->rows.end(), [](const PlannedRow& r) { return r.seq == 1; }));
    run(scheduler, std::move(*plan));
  }
}

// The rows of the step in which sequence 1 decodes and 2 arrives with a prompt of 12 tokens.
std::vector<int> counts_with_decode(SchedulerLimits policy, int decoders = 1) {
  BlockAllocator kv(64, 16);
  Scheduler scheduler(policy, kv);
  for (SeqId id = 1; id <= static_cast<SeqId>(decoders); ++id) {
    EXPECT_TRUE(scheduler.submit({id, 1, 50}).is_ok());
    run(scheduler, *scheduler.plan());
  }
  EXPECT_TRUE(scheduler.submit({100, 12, 50}).is_ok());
  std::vector<int> counts;
  auto plan = scheduler.plan();
  for (const PlannedRow& r : plan->rows) counts.push_back(r.seq == 100 ? -r.count : r.count);
  return counts;  // of the newcomer negative
}

TEST(Scheduler, ReadsPromptsInSmallChunksWhileOthersDecode) {
  SchedulerLimits policy = limits(4, 10);
  EXPECT_EQ(counts_with_decode(policy), (std::vector<int>{1, -9}));
  policy.active_decode_prefill_chunk = 3;
  EXPECT_EQ(counts_with_decode(policy), (std::vector<int>{1, -3}));
  EXPECT_EQ(counts_with_decode(policy, 0), (std::vector<int>{-10}));  // nobody decodes
}

TEST(Scheduler, ReadsPromptsFirstUntilEnoughSequencesDecode) {
  SchedulerLimits policy = limits(4, 6);
  EXPECT_EQ(counts_with_decode(policy, 3), (std::vector<int>{1, 1, 1, -3}));
  policy.prefill_first_until_active = 3;  // 3 decode: enough
  EXPECT_EQ(counts_with_decode(policy, 3), (std::vector<int>{1, 1, 1, -3}));
  policy.prefill_first_until_active = 4;  // the oldest keeps its row, the others wait
  EXPECT_EQ(counts_with_decode(policy, 3), (std::vector<int>{1, -5}));
}

TEST(Scheduler, WaitsForAStepThatHasRoomForTheWholePrompt) {
  SchedulerLimits policy = limits(4, 12);
  EXPECT_EQ(counts_with_decode(policy), (std::vector<int>{1, -11}));
  policy.whole_prompts = true;
  EXPECT_EQ(counts_with_decode(policy), (std::vector<int>{1}));
  EXPECT_EQ(counts_with_decode(policy, 0), (std::vector<int>{-12}));
  policy.max_batched_tokens = 8;  // no step ever has room for it
  EXPECT_EQ(counts_with_decode(policy), (std::vector<int>{1, -7}));
}

TEST(Scheduler, PreemptsTheNewestAndBringsItBackInItsTurn) {
  BlockAllocator kv(4, 4);
  Scheduler scheduler(limits(3, 64), kv);
  ASSERT_TRUE(scheduler.submit({1, 4, 16}).is_ok());
  ASSERT_TRUE(scheduler.submit({2, 4, 16}).is_ok());
  run(scheduler, *scheduler.plan());  // both prompts: the second fits with its block of headroom
  ASSERT_EQ(scheduler.running(), 2);
  ASSERT_TRUE(scheduler.submit({3, 1, 4}).is_ok());
  std::vector<SeqId> preempted;
  int steps = 0;
  while (preempted.empty() && steps++ < 20) {
    auto plan = scheduler.plan();
    preempted = plan->preempted;
    run(scheduler, std::move(*plan));
    EXPECT_EQ(scheduler.violations(), std::vector<std::string>{});
  }
  EXPECT_EQ(preempted, std::vector<SeqId>{2});
  scheduler.remove(1);
  auto plan = scheduler.plan();  // sequence 2 was here before 3
  ASSERT_EQ(plan->rows[0].seq, 2u);
  EXPECT_EQ(plan->rows[0].begin, 0);
  EXPECT_GT(plan->rows[0].count, 4) << "prompt and generated tokens are read again in one chunk";
  EXPECT_EQ(plan->rows[0].logit_count, 1) << "only the next token is sampled";
  run(scheduler, std::move(*plan));
}

TEST(Scheduler, RefusesWhatCanNeverFitWithTheNumbers) {
  BlockAllocator kv(4, 16);
  Scheduler scheduler(limits(2, 32), kv);
  EXPECT_TRUE(scheduler.submit({1, 10, 65}).is_ok()) << "the 65th token needs no place in the cache";
  const Status status = scheduler.submit({2, 10, 66});
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("66 tokens, which takes 5 KV blocks; the pool has 4"), std::string::npos)
      << status.message();
}

TEST(Scheduler, BoundsTheQueue) {
  BlockAllocator kv(64, 16);
  Scheduler scheduler(limits(2, 32, 3), kv);
  for (SeqId id = 1; id <= 3; ++id) ASSERT_TRUE(scheduler.submit({id, 4, 8}).is_ok());
  const Status full = scheduler.submit({4, 4, 8});
  EXPECT_EQ(full.code(), StatusCode::kCapacity);
  run(scheduler, *scheduler.plan());  // two of them run now
  EXPECT_TRUE(scheduler.submit({5, 4, 8}).is_ok());
}

TEST(Scheduler, RollbackLeavesTheStateBeforeTheStep) {
  BlockAllocator kv(16, 4);
  Scheduler scheduler(limits(2, 6), kv);
  ASSERT_TRUE(scheduler.submit({1, 9, 20}).is_ok());
  run(scheduler, *scheduler.plan());
  auto failed = scheduler.plan();
  const PlannedRow row = failed->rows[0];
  scheduler.rollback(std::move(*failed));
  EXPECT_EQ(kv.length(1), 6);
  EXPECT_EQ(scheduler.violations(), std::vector<std::string>{});
  const auto again = scheduler.plan();
  EXPECT_EQ(again->rows[0].begin, row.begin);
  EXPECT_EQ(again->rows[0].count, row.count);
}

// Two sequences that decode, with drafts on offer; returns the drafts that a step grants them.
std::vector<int> granted(SchedulerLimits policy, int blocks, std::pair<int, int> offers, int max_tokens = 50) {
  BlockAllocator kv(blocks, 4);
  Scheduler scheduler(policy, kv);
  EXPECT_TRUE(scheduler.submit({1, 2, max_tokens}).is_ok() && scheduler.submit({2, 2, max_tokens}).is_ok());
  run(scheduler, *scheduler.plan());
  scheduler.offer_drafts(1, offers.first);
  scheduler.offer_drafts(2, offers.second);
  scheduler.offer_drafts(99, 5);  // unknown
  const auto plan = scheduler.plan();
  std::vector<int> drafts;
  for (const PlannedRow& r : plan->rows) {
    EXPECT_EQ(r.count, 1 + r.drafts);
    EXPECT_EQ(r.logit_count, 1 + r.drafts);
    EXPECT_TRUE(r.samples);
    drafts.push_back(r.drafts);
  }
  EXPECT_EQ(plan->preempted, std::vector<SeqId>{});
  return drafts;
}

TEST(Scheduler, GrantsDraftsOutOfWhatIsLeft) {
  const SchedulerLimits plenty = limits(2, 64);  // 8 logits besides those of the rows
  EXPECT_EQ(granted(plenty, 40, {3, 4}), (std::vector<int>{3, 4}));
  EXPECT_EQ(granted(plenty, 40, {0, 4}), (std::vector<int>{0, 4}));
  EXPECT_EQ(granted(plenty, 40, {6, 6}), (std::vector<int>{6, 2})) << "logits";
  EXPECT_EQ(granted(limits(2, 7), 40, {4, 4}), (std::vector<int>{4, 1})) << "tokens of the step";
  EXPECT_EQ(granted(plenty, 13, {4, 4}, 5), (std::vector<int>{1, 1})) << "the sequence's own length";
  // Each holds one block of 4 with 3 tokens in it; the pool has one more, and nobody loses a block for a guess.
  EXPECT_EQ(granted(plenty, 3, {8, 3}, 12), (std::vector<int>{5, 1})) << "free blocks";
}

TEST(Scheduler, TakesBackWhatWasGuessedWrong) {
  BlockAllocator kv(40, 4);
  Scheduler scheduler(limits(2, 64), kv);
  ASSERT_TRUE(scheduler.submit({1, 3, 50}).is_ok());
  run(scheduler, *scheduler.plan());
  scheduler.offer_drafts(1, 6);
  auto plan = scheduler.plan();  // positions 3 to 9
  ASSERT_EQ(plan->rows[0].drafts, 6);
  EXPECT_EQ(kv.length(1), 10);
  const RowOutcome two_right{3, false};
  scheduler.commit(std::move(*plan), {&two_right, 1});
  EXPECT_EQ(kv.length(1), 6);
  EXPECT_EQ(kv.used_blocks(), 2);
  EXPECT_EQ(scheduler.violations(), std::vector<std::string>{});
  plan = scheduler.plan();  // the offer was for one row
  EXPECT_EQ(plan->rows[0].begin, 6);
  EXPECT_EQ(plan->rows[0].count, 1);
  run(scheduler, std::move(*plan));
}

TEST(BatchBuilder, PutsRowsOfDifferentLengthIntoFlatArrays) {
  BlockAllocator kv(8, 4);
  Scheduler scheduler(limits(2, 16), kv);
  ASSERT_TRUE(scheduler.submit({1, 2, 20}).is_ok());
  run(scheduler, *scheduler.plan());
  ASSERT_TRUE(scheduler.submit({2, 5, 20, true}).is_ok());
  const auto plan = scheduler.plan();
  const std::vector<TokenId> one = {10, 11, 12}, two = {20, 21, 22, 23, 24};
  const Batch b = build_batch(*plan, kv, [&](SeqId id) { return std::span<const TokenId>(id == 1 ? one : two); });
  EXPECT_EQ(b.tokens, (std::vector<TokenId>{12, 20, 21, 22, 23, 24}));
  EXPECT_EQ(b.positions, (std::vector<int32_t>{2, 0, 1, 2, 3, 4}));
  EXPECT_EQ(b.token_rows, (std::vector<int32_t>{0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(b.cu_q, (std::vector<int32_t>{0, 1, 6}));
  EXPECT_EQ(b.kv_lens, (std::vector<int32_t>{3, 5}));
  EXPECT_EQ(b.logit_rows, (std::vector<int32_t>{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(b.max_blocks, 2);
  ASSERT_EQ(b.block_tables.size(), 4u);
  EXPECT_EQ(b.block_tables[0], kv.table(1)[0]);
  EXPECT_EQ(b.block_tables[1], 0);
  EXPECT_EQ(b.block_tables[3], kv.table(2)[1]);
  for (int t = 0; t < b.num_tokens(); ++t) {
    const SeqId seq = plan->rows[static_cast<size_t>(b.token_rows[static_cast<size_t>(t)])].seq;
    const int p = b.positions[static_cast<size_t>(t)];
    EXPECT_EQ(b.slots[static_cast<size_t>(t)], kv.table(seq)[static_cast<size_t>(p / 4)] * 4 + p % 4);
  }
}

// Random arrivals, lengths, cancels and failed steps against a pool that is too small for all. The test keeps its own
// account of what each sequence has computed, sampled and scored, and checks every plan against it. Texts are of two
// tokens, so that they begin alike; the KV of a position is a hash of its text, kept in a fake memory at the slots of
// the plan, so that a wrong match, or a block of the window that was given away, is seen.
class Simulation {
 public:
  explicit Simulation(uint64_t seed)
      : rng_(seed),
        blocks_(2 + pick(30)),
        block_size_(1 << pick(5)),
        limits_{1 + pick(6), 1 + pick(40), 0, pick(20), pick(3) == 0 ? 1 + pick(20) : 0, pick(3) == 0 ? 1 + pick(6) : 0,
                pick(3) == 0},
        window_(pick(3) == 0 ? 1 + pick(3 * block_size_) : 0),
        caches_(pick(3) != 0),
        kv_(blocks_, block_size_, window_),
        memory_(static_cast<size_t>(blocks_ * block_size_)),
        scheduler_((limits_.max_logits = limits_.max_seqs + 1 + pick(10), limits_), kv_) {}

  void run() {
    int arrivals = 10 + pick(30);
    while ((arrivals > 0 || !live_.empty()) && !::testing::Test::HasFailure()) {
      while (arrivals > 0 && pick(3) == 0) submit(), --arrivals;
      if (!live_.empty() && pick(40) == 0) cancel();
      offer();
      step();
    }
    EXPECT_EQ(kv_.used_blocks(), 0);
  }
  int preemptions() const { return preemptions_; }
  int drafts() const { return drafts_; }
  uint64_t saved() const { return kv_.prefix_stats().saved_tokens; }
  uint64_t evictions() const { return kv_.prefix_stats().evictions; }
  int dropped() const { return dropped_; }

 private:
  struct Live {
    int prompt = 0, total = 0, max_tokens = 0, computed = 0;
    bool score = false;
    int scored = 0;   // positions [0, scored) have had their logits seen
    int sampled = 0;  // tokens sampled
    int offered = 0;  // drafts, at most
    std::vector<TokenId> text = {};
    std::vector<uint64_t> kv = {};  // of each position
    PrefixChain chain = {};
  };

  int pick(int n) { return static_cast<int>(rng_() % static_cast<uint64_t>(n)); }

  void submit() {
    const int pool = blocks_ * block_size_;
    const int prompt = 1 + pick(std::max(1, pool / (1 + pick(4)))), max_tokens = prompt + pick(pool);
    const bool fits = kv_.blocks_for(std::max(prompt, max_tokens - 1)) <= blocks_;
    const bool full =
        scheduler_.waiting() >= limits_.max_waiting && scheduler_.waiting() + scheduler_.running() >= limits_.max_seqs;
    const bool score = pick(4) == 0;
    Live live{prompt, prompt, max_tokens, 0, score, score ? 0 : prompt - 1, 0};
    if (caches_) live.chain = PrefixChain({1, 2}, "", block_size_);
    const Status status = scheduler_.submit({++last_id_, prompt, max_tokens, score, extend(live, prompt)});
    ASSERT_EQ(status.is_ok(), fits && !full) << status.message();
    if (status.is_ok()) live_[last_id_] = std::move(live);
  }
  // Mostly the same token, so that texts begin alike.
  std::vector<PrefixHash> extend(Live& s, int tokens) {
    for (; tokens > 0; --tokens) {
      s.text.push_back(pick(16) == 0 ? 1 : 0);
      const uint64_t before = s.kv.empty() ? 0 : s.kv.back();
      s.kv.push_back((before + static_cast<uint64_t>(s.text.back()) + 1) * 0x9e3779b97f4a7c15u ^ (before >> 29));
    }
    return s.chain.extend(s.text);
  }
  uint64_t& cell(SeqId seq, int position) {
    const BlockId block = kv_.table(seq)[static_cast<size_t>(position / block_size_)];
    return memory_.at(static_cast<size_t>(block * block_size_ + position % block_size_));
  }
  // What attention would read of the tokens before the row.
  void check_visible(const PlannedRow& r, const Live& s) {
    for (int p = window_ > 0 ? std::max(0, r.begin - window_ + 1) : 0; p < r.begin; ++p) {
      ASSERT_NE(kv_.table(r.seq)[static_cast<size_t>(p / block_size_)], kNoBlock);
      ASSERT_EQ(cell(r.seq, p), s.kv[static_cast<size_t>(p)]) << "sequence " << r.seq << " position " << p;
    }
    dropped_ += static_cast<int>(std::count(kv_.table(r.seq).begin(), kv_.table(r.seq).end(), kNoBlock));
  }
  void cancel() {
    const auto victim = std::next(live_.begin(), pick(static_cast<int>(live_.size())));
    scheduler_.remove(victim->first);
    live_.erase(victim);
  }

  void offer() {
    for (auto& [id, s] : live_) {
      if (s.sampled == 0 || pick(3) != 0) continue;
      scheduler_.offer_drafts(id, s.offered = pick(9));
    }
  }

  void step() {
    auto plan = scheduler_.plan();
    ASSERT_EQ(plan.has_value(), !live_.empty());
    if (!plan) return;
    for (SeqId id : plan->preempted) {
      live_.at(id).computed = live_.at(id).offered = 0;
      ++preemptions_;
    }
    check(*plan);
    if (::testing::Test::HasFailure()) return;
    if (pick(30) == 0) {
      for (const PlannedRow& r : plan->rows) {  // half done
        for (int p = r.begin; p < r.begin + r.count; ++p) cell(r.seq, p) = ~uint64_t{0};
      }
      scheduler_.rollback(std::move(*plan));
    } else {
      commit(std::move(*plan));
    }
    ASSERT_EQ(scheduler_.violations(), std::vector<std::string>{});
  }

  void check(const StepPlan& plan) {
    std::set<SeqId> seen;
    int tokens = 0, logits = 0, prompt_tokens = 0;
    bool decodes = false;
    for (const PlannedRow& r : plan.rows) {
      ASSERT_TRUE(seen.insert(r.seq).second) << "two rows of one sequence";
      Live& s = live_.at(r.seq);
      const bool matched = s.computed == 0 && r.begin > 0;
      if (matched) {
        ASSERT_TRUE(caches_ && r.begin % block_size_ == 0 && r.begin <= s.scored);
        s.computed = r.begin;
      }
      ASSERT_EQ(r.begin, s.computed);
      check_visible(r, s);
      ASSERT_GE(r.count, 1);
      const int known = r.count - r.drafts;
      ASSERT_LE(r.begin + known, s.total);
      ASSERT_EQ(r.samples, r.begin + known == s.total);
      ASSERT_LE(r.drafts, s.offered);
      ASSERT_TRUE(r.drafts == 0 || (known == 1 && r.samples && s.total + r.drafts < s.max_tokens));
      // Logits of every position that nobody has seen, and of none that somebody has.
      ASSERT_EQ(r.logit_count, std::max(0, r.begin + r.count - std::max(s.scored, r.begin)));
      ASSERT_TRUE(!r.samples || r.logit_count >= 1);
      ASSERT_EQ(kv_.length(r.seq), r.begin + r.count);
      tokens += r.count;
      logits += r.logit_count;
      drafts_ += r.drafts;
      const bool decode = s.total - s.computed == 1;
      decodes = decodes || (decode && s.sampled > 0 && !matched);
      if (!decode) prompt_tokens += r.count;
    }
    if (limits_.active_decode_prefill_chunk > 0 && decodes) {
      ASSERT_LE(prompt_tokens, limits_.active_decode_prefill_chunk);
    }
    ASSERT_LE(tokens, limits_.max_batched_tokens);
    ASSERT_LE(logits, limits_.max_logits);
    ASSERT_EQ(tokens, plan.num_tokens);
    ASSERT_EQ(logits, plan.num_logits);
    ASSERT_EQ(seen.count(live_.begin()->first), 1u) << "the oldest sequence has no row";
  }

  void commit(StepPlan plan) {
    std::vector<RowOutcome> outcomes;
    for (const PlannedRow& r : plan.rows) {
      Live& s = live_.at(r.seq);
      s.computed = r.begin + r.count - r.drafts;
      s.offered = 0;
      s.scored = std::max(s.scored, s.computed);
      RowOutcome outcome;
      if (r.samples) {
        const int gained = 1 + pick(r.drafts + 1);
        outcome.finished = s.total + gained >= s.max_tokens || pick(50) == 0;
        outcome.new_tokens = outcome.finished ? pick(gained + 1) : gained;
        if (!outcome.finished) s.computed += outcome.new_tokens - 1;
        s.total += outcome.new_tokens;
        s.sampled += outcome.new_tokens;
        s.scored = std::max(s.scored, s.computed);
        outcome.prefix = extend(s, outcome.new_tokens);
      }
      const int right = r.begin + r.count - r.drafts + std::max(0, outcome.new_tokens - 1);
      for (int p = r.begin; p < r.begin + r.count; ++p) {
        cell(r.seq, p) = p < right ? s.kv[static_cast<size_t>(p)] : ~uint64_t{0};
      }
      if (outcome.finished) live_.erase(r.seq);
      outcomes.push_back(outcome);
    }
    scheduler_.commit(std::move(plan), outcomes);
  }

  std::mt19937_64 rng_;
  int blocks_, block_size_;
  SchedulerLimits limits_;
  int window_;
  bool caches_;
  BlockAllocator kv_;
  std::vector<uint64_t> memory_;
  Scheduler scheduler_;
  std::map<SeqId, Live> live_;  // by id, which is the order of arrival
  SeqId last_id_ = 0;
  int preemptions_ = 0, drafts_ = 0, dropped_ = 0;
};

// The oldest sequence has a row in every step, and a row is progress towards a bounded length: so every run ends.
TEST(SchedulerSimulation, NobodyStarvesAndNothingIsLostOver5000RandomArrivalPatterns) {
  int preemptions = 0, drafts = 0, dropped = 0;
  uint64_t saved = 0, evictions = 0;
  for (uint64_t seed = 0; seed < 5000 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation simulation(seed);
    simulation.run();
    preemptions += simulation.preemptions();
    drafts += simulation.drafts();
    dropped += simulation.dropped();
    saved += simulation.saved();
    evictions += simulation.evictions();
  }
  EXPECT_GT(saved, 10000u) << "no prefix was found";
  EXPECT_GT(evictions, 1000u) << "nothing was evicted";
  EXPECT_GT(dropped, 1000) << "nothing fell out of a window";
  EXPECT_GT(preemptions, 1000) << "the pools were never short";
  EXPECT_GT(drafts, 10000) << "nothing was guessed";
}

}  // namespace
}  // namespace ferrum
