#include "sched/scheduler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>

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

SchedulerLimits ranked(QueuePolicy policy, int64_t ageing_ns, int max_seqs = 1, int budget = 8) {
  SchedulerLimits l = limits(max_seqs, budget);
  l.policy = policy;
  l.ageing_ns = ageing_ns;
  return l;
}

// Ends the sequence that runs, and says who is admitted next.
SeqId next_after(Scheduler& scheduler, SeqId gone) {
  scheduler.remove(gone);
  auto plan = scheduler.plan();
  const SeqId next = plan->rows[0].seq;
  run(scheduler, std::move(*plan));
  return next;
}

NewSequence arrival(SeqId id, int64_t submitted, int priority, std::string tenant = "") {
  return {.id = id,
          .prompt_tokens = 2,
          .max_tokens = 1000,
          .submitted = submitted,
          .priority = priority,
          .tenant = std::move(tenant)};
}

TEST(Scheduler, TakesTheLowestPriorityFirstAsFarAsItsHeadStartReaches) {
  BlockAllocator kv(64, 16);
  Scheduler scheduler(ranked(QueuePolicy::kPriority, 100), kv);
  ASSERT_TRUE(scheduler.submit(arrival(1, 0, 0)).is_ok());
  run(scheduler, *scheduler.plan());
  ASSERT_TRUE(scheduler.submit(arrival(2, 10, 1)).is_ok());
  ASSERT_TRUE(scheduler.submit(arrival(3, 20, 0)).is_ok());
  ASSERT_TRUE(scheduler.submit(arrival(4, 30, 0)).is_ok());
  ASSERT_TRUE(scheduler.submit(arrival(5, 40, -1)).is_ok());
  ASSERT_TRUE(scheduler.submit(arrival(6, 215, 0)).is_ok()) << "205 after sequence 2, whose lag is worth 100";
  EXPECT_EQ(next_after(scheduler, 1), 5u);
  EXPECT_EQ(next_after(scheduler, 5), 3u);
  EXPECT_EQ(next_after(scheduler, 3), 4u);
  EXPECT_EQ(next_after(scheduler, 4), 2u);
  EXPECT_EQ(next_after(scheduler, 2), 6u);
}

TEST(Scheduler, DoesNotLookAtPriorityWhereFirstComeIsFirstServed) {
  BlockAllocator kv(64, 16);
  Scheduler scheduler(ranked(QueuePolicy::kFcfs, 100), kv);
  for (SeqId id = 1; id <= 3; ++id) {
    ASSERT_TRUE(scheduler.submit(arrival(id, 10, -static_cast<int>(id))).is_ok());
  }
  run(scheduler, *scheduler.plan());
  EXPECT_EQ(next_after(scheduler, 1), 2u);
}

TEST(Scheduler, PreemptsTheLeastUrgentAndOfThoseTheNewest) {
  BlockAllocator kv(6, 4);
  Scheduler scheduler(ranked(QueuePolicy::kPriority, 100, 3, 64), kv);
  for (const auto& [id, priority] : {std::pair{1, 1}, {2, 1}, {3, 0}}) {
    NewSequence s = arrival(static_cast<SeqId>(id), id, priority);
    s.prompt_tokens = 3;
    s.max_tokens = 20;
    ASSERT_TRUE(scheduler.submit(s).is_ok());
  }
  run(scheduler, *scheduler.plan());
  ASSERT_EQ(scheduler.running(), 3);
  std::vector<SeqId> preempted;
  for (int i = 0; i < 40 && preempted.size() < 2; ++i) {
    auto plan = scheduler.plan();
    preempted.insert(preempted.end(), plan->preempted.begin(), plan->preempted.end());
    run(scheduler, std::move(*plan));
  }
  EXPECT_EQ(preempted, (std::vector<SeqId>{2, 1}));
}

// Two tenants that always have requests waiting are served alike, whatever they send: by no more than twice the larger
// of an input's and a full batch's service apart (Sheng et al., theorem 4.4).
TEST(Scheduler, SharesFairlyBetweenOneWhoFloodsAndOneWhoDoesNot) {
  constexpr int kSeqs = 4, kPrompt = 6, kAnswer = 20;
  BlockAllocator kv(400, 4);
  Scheduler scheduler(ranked(QueuePolicy::kFair, 1, kSeqs, 64), kv);
  SeqId last = 0;
  std::map<SeqId, std::string> tenants;
  std::map<std::string, int> waiting, length;
  std::map<std::string, int64_t> served;
  const auto send = [&](const std::string& tenant, int prompt, int answer) {
    NewSequence s = arrival(++last, 0, 0, tenant);
    s.prompt_tokens = prompt;
    s.max_tokens = prompt + answer;
    ASSERT_TRUE(scheduler.submit(s).is_ok());
    tenants[last] = tenant;
  };
  for (int i = 0; i < 50; ++i) send("flood", kPrompt, kAnswer);
  for (int i = 0; i < 8; ++i) send("modest", 2, 7);
  std::map<SeqId, int> generated;
  int64_t apart = 0;
  for (int step = 0; step < 3000; ++step) {
    auto plan = scheduler.plan();
    std::vector<RowOutcome> outcomes;
    std::vector<std::string> again;
    for (const PlannedRow& r : plan->rows) {
      const std::string& tenant = tenants.at(r.seq);
      const bool modest = tenant == "modest";
      served[tenant] += r.begin == 0 ? r.count : 0;
      served[tenant] += r.samples ? 2 : 0;
      const bool ends = r.samples && ++generated[r.seq] == (modest ? 7 : kAnswer);
      outcomes.push_back({r.samples ? 1 : 0, ends});
      if (ends) again.push_back(tenant);
    }
    scheduler.commit(std::move(*plan), outcomes);
    for (const std::string& tenant : again) {
      if (tenant == "modest") send(tenant, 2, 7);
      if (tenant == "flood") send(tenant, kPrompt, kAnswer), scheduler.waiting() < 90 ? send(tenant, 6, 20) : void();
    }
    apart = std::max(apart, std::abs(served["flood"] - served["modest"]));
  }
  EXPECT_LE(apart, 2 * std::max(kPrompt, 2 * kSeqs * (kPrompt + kAnswer)));
  EXPECT_GT(served["modest"], 5000);
}

TEST(Scheduler, ExpiresWhatHasNotBegunOrNotEndedInTime) {
  BlockAllocator kv(64, 16);
  Scheduler scheduler(limits(1, 8), kv);
  const auto submit = [&](SeqId id, int64_t start_by, int64_t finish_by) {
    NewSequence s = arrival(id, 0, 0);
    s.start_by = start_by;
    s.finish_by = finish_by;
    ASSERT_TRUE(scheduler.submit(s).is_ok());
  };
  submit(1, 10, 50);
  run(scheduler, *scheduler.plan());
  submit(2, 20, kNever);
  submit(3, kNever, 30);
  submit(4, kNever, kNever);
  EXPECT_EQ(scheduler.expire(19), std::vector<SeqId>{}) << "sequence 1 has begun";
  EXPECT_EQ(scheduler.expire(20), std::vector<SeqId>{2});
  EXPECT_EQ(scheduler.expire(40), std::vector<SeqId>{3});
  EXPECT_EQ(scheduler.expire(50), std::vector<SeqId>{1});
  EXPECT_EQ(kv.used_blocks(), 0);
  EXPECT_EQ(scheduler.expire(1'000'000), std::vector<SeqId>{});
  EXPECT_EQ(scheduler.waiting(), 1);
}

TEST(Scheduler, ReadsAPromptOnceForAllItsChoices) {
  BlockAllocator kv(64, 4);
  Scheduler scheduler(limits(4, 8), kv);
  for (SeqId id = 1; id <= 4; ++id) {
    ASSERT_TRUE(scheduler.submit({.id = id, .prompt_tokens = 18, .max_tokens = 40, .twin = id > 1 ? 1u : 0u}).is_ok());
  }
  for (int chunk = 0; chunk < 3; ++chunk) {
    auto plan = scheduler.plan();
    EXPECT_EQ(seqs_of(*plan), std::vector<SeqId>{1});
    run(scheduler, std::move(*plan));
  }
  auto plan = scheduler.plan();
  ASSERT_EQ(seqs_of(*plan), (std::vector<SeqId>{1, 2, 3, 4}));
  EXPECT_EQ(plan->num_tokens, 4) << "the last token of the prompt is computed again for its logits";
  EXPECT_EQ(plan->rows[3].begin, 17);
  EXPECT_TRUE(plan->rows[3].samples);
  EXPECT_EQ(plan->reservation.copies.size(), 3u);
  EXPECT_EQ(kv.used_blocks(), 4 + 4) << "four full blocks are shared; each has its own last one";
  run(scheduler, std::move(*plan));
}

TEST(Scheduler, ChoicesGoTheirOwnWayWhenTheFirstIsGone) {
  BlockAllocator kv(64, 4);
  Scheduler scheduler(limits(4, 8), kv);
  for (SeqId id = 1; id <= 2; ++id) {
    ASSERT_TRUE(scheduler.submit({.id = id, .prompt_tokens = 18, .max_tokens = 40, .twin = id > 1 ? 1u : 0u}).is_ok());
  }
  run(scheduler, *scheduler.plan());
  scheduler.remove(1);
  const auto plan = scheduler.plan();
  EXPECT_EQ(seqs_of(*plan), std::vector<SeqId>{2});
  EXPECT_EQ(plan->rows[0].begin, 0);
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

TEST(BatchBuilder, TakesTheEmbeddingsOfTheRowsPositions) {
  BlockAllocator kv(8, 4);
  Scheduler scheduler(limits(2, 3), kv);
  ASSERT_TRUE(scheduler.submit({1, 5, 20}).is_ok());
  const std::vector<TokenId> ids = {10, kNoToken, kNoToken, 13, kNoToken};
  const std::vector<float> rows = {1, 1, 2, 2, 4, 4};
  const auto text = [&](SeqId) { return InputText(ids, rows, 2); };
  auto first = scheduler.plan();
  const Batch b = build_batch(*first, kv, text);
  EXPECT_EQ(b.tokens, (std::vector<TokenId>{10, kNoToken, kNoToken}));
  EXPECT_EQ(b.embeddings, (std::vector<float>{1, 1, 2, 2}));
  run(scheduler, std::move(*first));
  auto second = scheduler.plan();
  const Batch c = build_batch(*second, kv, text);
  EXPECT_EQ(c.tokens, (std::vector<TokenId>{13, kNoToken}));
  EXPECT_EQ(c.embeddings, (std::vector<float>{4, 4}));
  run(scheduler, std::move(*second));
}

// Where something is wanted of every prompt position, neither the cache nor a twin stands in, until it was seen once.
TEST(Scheduler, ComputesAWholePromptWhereEveryPositionIsWanted) {
  BlockAllocator kv(40, 4);
  Scheduler scheduler(limits(3, 64), kv);
  std::vector<TokenId> text(18);
  std::iota(text.begin(), text.end(), 0);
  const auto chain = PrefixChain({1, 2}, "", 4).extend(text);
  for (const SeqId id : std::vector<SeqId>{1, 2, 3}) {
    ASSERT_TRUE(scheduler
                    .submit({.id = id,
                             .prompt_tokens = 18,
                             .max_tokens = 40,
                             .whole_prompt = id == 2,
                             .prefix = chain,
                             .twin = id == 2 ? 1u : 0u})
                    .is_ok());
    auto plan = scheduler.plan();
    const PlannedRow row = plan->rows.back();
    EXPECT_EQ(row.seq, id);
    EXPECT_EQ(row.begin, id == 3 ? 16 : 0);
    EXPECT_EQ(row.logit_count, 1);
    run(scheduler, std::move(*plan));
  }
}

}  // namespace
}  // namespace ferrum
