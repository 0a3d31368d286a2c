#include "moe/bucket_plan.h"

#include <string>

#include "base/check.h"

namespace ferrum {

void BucketPlan::reserve(int num_experts, int64_t max_pairs) {
  const auto experts = static_cast<size_t>(num_experts), pairs = static_cast<size_t>(max_pairs);
  expert_offsets_.reserve(experts + 1);
  active_experts_.reserve(experts);
  cursors_.reserve(experts);
  for (auto* array : {&packed_token_idx_, &packed_pairs_, &pairs_by_token_}) array->reserve(pairs);
  pair_weights_.reserve(pairs);
}

int64_t BucketPlan::reserved_bytes(int num_experts, int64_t max_pairs) {
  // Three arrays by expert; by pair three of numbers and one of weights.
  return static_cast<int64_t>(sizeof(int32_t)) * (3 * num_experts + 1) +
         static_cast<int64_t>(3 * sizeof(int32_t) + sizeof(float)) * max_pairs;
}

void BucketPlan::rebuild(std::span<const int32_t> ids, std::span<const float> weights, int num_experts, int top_k) {
  FERRUM_CHECK(ids.size() == weights.size() && ids.size() % static_cast<size_t>(top_k) == 0,
               "a whole number of experts and weights per token");
  const auto experts = static_cast<size_t>(num_experts);
  expert_offsets_.assign(experts + 1, 0);
  for (const int32_t id : ids) {
    FERRUM_CHECK(id >= 0 && id < num_experts,
                 "expert " + std::to_string(id) + " is not one of " + std::to_string(num_experts));
    ++expert_offsets_[static_cast<size_t>(id) + 1];
  }
  active_experts_.clear();
  for (size_t e = 0; e < experts; ++e) {
    if (expert_offsets_[e + 1] > 0) active_experts_.push_back(static_cast<int32_t>(e));
    expert_offsets_[e + 1] += expert_offsets_[e];
  }
  cursors_.assign(expert_offsets_.begin(), expert_offsets_.end() - 1);
  for (auto* array : {&packed_token_idx_, &packed_pairs_, &pairs_by_token_}) array->resize(ids.size());
  for (size_t pair = 0; pair < ids.size(); ++pair) {
    const int32_t row = cursors_[static_cast<size_t>(ids[pair])]++;
    packed_token_idx_[static_cast<size_t>(row)] = static_cast<int32_t>(pair) / top_k;
    packed_pairs_[static_cast<size_t>(row)] = static_cast<int32_t>(pair);
    pairs_by_token_[pair] = row;
  }
  pair_weights_.assign(weights.begin(), weights.end());
}

}  // namespace ferrum
