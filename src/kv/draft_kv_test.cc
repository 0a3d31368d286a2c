#include "kv/draft_kv.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "kv/block_allocator.h"

namespace ferrum {
namespace {

constexpr int kBlockSize = 4;

TEST(DraftKv, KnowsHowFarItIsInASequenceFromItsTableAlone) {
  DraftKv kv(8, kBlockSize);
  const std::vector<BlockId> table = {5, 2, 7};
  EXPECT_EQ(kv.length(table, 10), 0);
  kv.computed(table, 0, 6);
  EXPECT_EQ(kv.length(table, 10), 6);
  EXPECT_EQ(kv.length(table, 3), 3);
  EXPECT_EQ(kv.length(std::vector<BlockId>{5}, 4), 4) << "a sequence that found the block in the prefix cache";
  EXPECT_EQ(kv.length(std::vector<BlockId>{2, 5}, 8), 2);
}

TEST(DraftKv, WhatTheTargetWritesIsNotComputedUntilTheDraftModelFollows) {
  DraftKv kv(8, kBlockSize);
  const std::vector<BlockId> table = {5, 2, 7};
  kv.computed(table, 0, 12);
  kv.overwritten(table, 6, 11);
  EXPECT_EQ(kv.length(table, 12), 6);
  kv.computed(table, 6, 7);
  EXPECT_EQ(kv.length(table, 12), 7);
  kv.forget(5);
  EXPECT_EQ(kv.length(table, 12), 0);
  kv.computed(table, 0, 4);
  EXPECT_EQ(kv.length(table, 12), 7) << "what lay behind the gap is still there";
}

TEST(DraftKv, CountsFromTheFirstBlockThatTheWindowLeft) {
  DraftKv kv(8, kBlockSize);
  const std::vector<BlockId> table = {kNoBlock, kNoBlock, 3, 4};
  EXPECT_EQ(kv.first_kept(table), 8);
  EXPECT_EQ(kv.length(table, 14), 8);
  kv.computed(table, 8, 13);
  EXPECT_EQ(kv.length(table, 14), 13);
}

// Two storages that really are written, one by a "target" at once and one by a "draft model" now and then: wherever
// DraftKv says that the draft's KV is complete, it is what the target has there. Sequences grow, are cut, fork, end,
// and find each other's blocks.
TEST(DraftKv, NeverTakesOneTextForAnotherOverRandomSequences) {
  constexpr int kBlocks = 24;
  std::mt19937 rng(7);
  const auto pick = [&](int n) { return static_cast<int>(rng() % static_cast<unsigned>(n)); };
  int64_t checked = 0;
  for (int run = 0; run < 30; ++run) {
    BlockAllocator allocator(kBlocks, kBlockSize);
    DraftKv kv(kBlocks, kBlockSize);
    std::vector<uint64_t> target(kBlocks * kBlockSize, 0), draft = target;
    std::map<SeqId, std::vector<uint64_t>> texts;  // what the target stores at each position: a hash of the prefix
    SeqId next = 1;
    const auto slot = [&](SeqId id, int p) {
      return static_cast<size_t>(allocator.table(id)[static_cast<size_t>(p / kBlockSize)] * kBlockSize +
                                 p % kBlockSize);
    };
    for (int op = 0; op < 400; ++op) {
      if (texts.empty() || pick(6) == 0) texts[next++] = {};
      auto at = texts.begin();
      std::advance(at, pick(static_cast<int>(texts.size())));
      const SeqId id = at->first;
      std::vector<uint64_t>& text = at->second;
      const int length = static_cast<int>(text.size());
      const int what = pick(10);
      if (what == 0 || length > 40) {
        allocator.release(id);
        texts.erase(id);
      } else if (what == 1 && length > 0) {
        allocator.fork(id, next);
        texts[next++] = text;
      } else if (what == 2 && length > 0) {
        text.resize(static_cast<size_t>(pick(length + 1)));
        allocator.truncate(id, static_cast<int>(text.size()));
      } else if (what <= 4) {  // the draft model catches up with a part of it
        const int from = kv.length(allocator.table(id), length), to = std::min(length, from + pick(9));
        for (int p = from; p < to; ++p) draft[slot(id, p)] = text[static_cast<size_t>(p)];
        kv.computed(allocator.table(id), from, to);
      } else {  // a step of the target
        const std::vector<Growth> growth = {{id, length + 1 + pick(6)}};
        auto reservation = allocator.reserve(growth);
        if (!reservation.is_ok()) continue;
        const bool draft_copies = pick(2) == 0;
        for (const BlockCopy& c : reservation->copies) {
          const auto copy = [&](std::vector<uint64_t>& all) {
            std::copy_n(all.begin() + c.from * kBlockSize, kBlockSize, all.begin() + c.to * kBlockSize);
          };
          copy(target);
          if (draft_copies) copy(draft);
          draft_copies ? kv.copied(c) : kv.forget(c.to);
        }
        kv.overwritten(allocator.table(id), length, growth[0].tokens);
        for (int p = length; p < growth[0].tokens; ++p) text.push_back(rng());
        for (int p = length; p < growth[0].tokens; ++p) target[slot(id, p)] = text[static_cast<size_t>(p)];
      }
      for (const auto& [other, content] : texts) {
        const int complete = kv.length(allocator.table(other), static_cast<int>(content.size()));
        for (int p = 0; p < complete; ++p) ASSERT_EQ(draft[slot(other, p)], content[static_cast<size_t>(p)]);
        checked += complete;
      }
    }
  }
  EXPECT_GT(checked, 10000) << "the draft model was never ahead of anything";
}

}  // namespace
}  // namespace ferrum
