#include "moe/block_alignment.h"

#include <gtest/gtest.h>

#include <random>

namespace ferrum {
namespace {

BucketPlan plan_of(const std::vector<int32_t>& ids, int experts, int top_k) {
  BucketPlan plan;
  plan.rebuild(ids, std::vector<float>(ids.size(), 1.0f), experts, top_k);
  return plan;
}

TEST(BlockAlignment, PadsEachExpertToWholeBlocks) {
  const BucketPlan plan = plan_of({2, 0, 3, 2, 2, 0}, 5, 2);  // rows: expert 0: 0 1, 2: 2 3 4, 3: 5
  BlockAlignment a;
  align_blocks(plan, 2, SortedIds::kPackedRows, a);
  EXPECT_EQ(a.sorted_ids, (std::vector<int32_t>{0, 1, 2, 3, 4, 6, 5, 6}));
  EXPECT_EQ(a.block_experts, (std::vector<int32_t>{0, 2, 2, 3}));
  align_blocks(plan, 2, SortedIds::kPairs, a);
  EXPECT_EQ(a.sorted_ids, (std::vector<int32_t>{1, 5, 0, 3, 4, 6, 2, 6}));
  EXPECT_EQ(a.block_experts, (std::vector<int32_t>{0, 2, 2, 3}));
  EXPECT_EQ(a.padded_rows(), 8);
}

// Each pair once, in a block of its expert; the rest sentinels, less than a block per expert.
TEST(BlockAlignment, HoldsEveryPairOnceForRandomRoutings) {
  std::mt19937 random(5);
  BlockAlignment a;
  for (int trial = 0; trial < 300; ++trial) {
    const int experts = 1 + static_cast<int>(random() % 12), block = 1 << (random() % 7);
    std::vector<int32_t> ids(2 * (random() % 60));
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(experts));
    const BucketPlan plan = plan_of(ids, experts, 2);
    for (const SortedIds kind : {SortedIds::kPackedRows, SortedIds::kPairs}) {
      align_blocks(plan, block, kind, a);
      ASSERT_EQ(a.sorted_ids.size(), a.block_experts.size() * static_cast<size_t>(block));
      ASSERT_LE(a.padded_rows(), max_padded_rows(plan.pairs(), experts, block));
      std::vector<int> seen(ids.size());
      for (size_t i = 0; i < a.sorted_ids.size(); ++i) {
        const auto id = static_cast<size_t>(a.sorted_ids[i]);
        if (id == ids.size()) continue;
        const auto pair = kind == SortedIds::kPairs ? id : static_cast<size_t>(plan.packed_pairs()[id]);
        ++seen[pair];
        ASSERT_EQ(ids[pair], a.block_experts[i / static_cast<size_t>(block)]);
      }
      ASSERT_EQ(seen, std::vector<int>(ids.size(), 1));
    }
  }
}

TEST(BlockAlignment, NothingRoutedIsNoBlock) {
  BlockAlignment a;
  align_blocks(plan_of({}, 4, 2), 16, SortedIds::kPackedRows, a);
  EXPECT_TRUE(a.sorted_ids.empty() && a.block_experts.empty());
}

TEST(BlockSize, LargeBatchesHaveTheirOwnFromAThresholdOn) {
  const MoeBlockSizes sizes{std::nullopt, 64, 1024};
  EXPECT_EQ(moe_block_size(sizes, {}, true, 256), 16);
  EXPECT_EQ(moe_block_size(sizes, {}, true, 1023), 16);
  EXPECT_EQ(moe_block_size(sizes, {}, true, 1024), 64);
  EXPECT_EQ(moe_block_size(sizes, {}, false, 1024), 16);
  EXPECT_EQ(moe_block_size({}, {}, true, 1024), 16);
}

TEST(BlockSize, TheOverallOneWins) {
  const MoeBlockSizes sizes{32, 64, 1024};
  EXPECT_EQ(moe_block_size(sizes, {}, true, 2048), 32);
  EXPECT_EQ(moe_block_size(sizes, std::vector<int32_t>{0, 1}, false, 1), 32);
}

TEST(BlockSize, HostRoutingTakesTheLargestThatPadsLittle) {
  const auto size = [](std::vector<int32_t> offsets) { return moe_block_size({}, offsets, false, offsets.back()); };
  EXPECT_EQ(size({0, 64, 192}), 64);
  EXPECT_EQ(size({0, 32, 64}), 32);
  EXPECT_EQ(size({0, 50}), 64);  // 28 % padding
  EXPECT_EQ(size({0, 49}), 16);  // 31 % with 64, and with 32
  EXPECT_EQ(size({0, 1, 1, 3}), 16);
  EXPECT_EQ(size({0, 0, 0}), 16);
  EXPECT_EQ(moe_block_size({}, {}, false, 0), 16);
}

}  // namespace
}  // namespace ferrum
