#include "moe/bucket_plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ferrum {
namespace {

template <typename T>
std::vector<T> copy(std::span<const T> s) {
  return {s.begin(), s.end()};
}

TEST(BucketPlan, PacksPairsByExpertThenToken) {
  BucketPlan plan;
  plan.rebuild(std::vector<int32_t>{2, 0, 3, 2, 2, 0}, std::vector<float>{.1f, .2f, .3f, .4f, .5f, .6f}, 5, 2);
  EXPECT_EQ(copy(plan.expert_offsets()), (std::vector<int32_t>{0, 2, 2, 5, 6, 6}));
  EXPECT_EQ(copy(plan.active_experts()), (std::vector<int32_t>{0, 2, 3}));
  EXPECT_EQ(copy(plan.packed_token_idx()), (std::vector<int32_t>{0, 2, 0, 1, 2, 1}));
  EXPECT_EQ(copy(plan.packed_pairs()), (std::vector<int32_t>{1, 5, 0, 3, 4, 2}));
  EXPECT_EQ(copy(plan.pairs_by_token()), (std::vector<int32_t>{2, 0, 5, 3, 4, 1}));
  EXPECT_EQ(copy(plan.pair_weights()), (std::vector<float>{.1f, .2f, .3f, .4f, .5f, .6f}));
  EXPECT_EQ(plan.rows_of(2), 3);
  EXPECT_EQ(plan.rows_of(4), 0);
}

// Everything that the arrays promise each other, for random routings: no expert, one expert for all, a batch of one.
TEST(BucketPlan, ArraysAgreeForRandomRoutings) {
  std::mt19937 random(3);
  BucketPlan plan;
  for (int trial = 0; trial < 500; ++trial) {
    const int experts = 1 + static_cast<int>(random() % 20), top_k = 1 + static_cast<int>(random() % 4);
    const size_t tokens = trial % 10 == 0 ? 1 : random() % 40;
    const int used = trial % 7 == 0 ? 1 : experts;
    std::vector<int32_t> ids(tokens * static_cast<size_t>(top_k));
    std::vector<float> weights(ids.size());
    for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(used));
    for (float& w : weights) w = static_cast<float>(random());
    plan.rebuild(ids, weights, experts, top_k);
    ASSERT_EQ(plan.pairs(), static_cast<int64_t>(ids.size()));
    ASSERT_EQ(plan.expert_offsets().size(), static_cast<size_t>(experts) + 1);
    ASSERT_EQ(plan.expert_offsets().back(), plan.pairs());
    for (size_t pair = 0; pair < ids.size(); ++pair) {
      const auto row = static_cast<size_t>(plan.pairs_by_token()[pair]);
      const auto expert = static_cast<size_t>(ids[pair]);
      ASSERT_EQ(plan.packed_pairs()[row], static_cast<int32_t>(pair));
      ASSERT_EQ(plan.packed_token_idx()[row], static_cast<int32_t>(pair) / top_k);
      ASSERT_GE(static_cast<int32_t>(row), plan.expert_offsets()[expert]);
      ASSERT_LT(static_cast<int32_t>(row), plan.expert_offsets()[expert + 1]);
    }
    for (int32_t e = 0; e < experts; ++e) {
      const bool active = std::binary_search(plan.active_experts().begin(), plan.active_experts().end(), e);
      ASSERT_EQ(active, plan.rows_of(e) > 0);
      const auto first = plan.packed_pairs().begin() + plan.expert_offsets()[static_cast<size_t>(e)];
      ASSERT_TRUE(std::is_sorted(first, first + plan.rows_of(e)));
    }
  }
}

TEST(BucketPlan, RebuildsInTheMemoryItReserved) {
  BucketPlan plan;
  plan.reserve(8, 64);
  plan.rebuild(std::vector<int32_t>(2, 7), std::vector<float>(2), 8, 2);
  const auto places = [&] {
    return std::vector<const void*>{plan.expert_offsets().data(),   plan.active_experts().data(),
                                    plan.packed_token_idx().data(), plan.packed_pairs().data(),
                                    plan.pairs_by_token().data(),   plan.pair_weights().data()};
  };
  const auto before = places();
  std::vector<int32_t> ids(64);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<int32_t>(i % 8);
  plan.rebuild(ids, std::vector<float>(64), 8, 2);
  EXPECT_EQ(before, places());
}

TEST(BucketPlanDeathTest, AnExpertOutOfRangeIsOurBug) {
  BucketPlan plan;
  EXPECT_DEATH(plan.rebuild(std::vector<int32_t>{0, 8}, std::vector<float>(2), 8, 2), "expert 8 is not one of 8");
  EXPECT_DEATH(plan.rebuild(std::vector<int32_t>{-1, 0}, std::vector<float>(2), 8, 2), "expert -1");
}

}  // namespace
}  // namespace ferrum
