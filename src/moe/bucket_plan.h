// The pairs (token, one of its experts) of a step, in the order of their experts: what an expert computes lies
// together.
//
// Pair t * top_k + k is token t with its k-th expert. Packed row i is a pair in the new order: by expert, within an
// expert by token, hence by pair.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ferrum {

class BucketPlan {
 public:
  // Makes room for steps of up to max_pairs pairs, so that rebuild() allocates nothing.
  void reserve(int num_experts, int64_t max_pairs);
  static int64_t reserved_bytes(int num_experts, int64_t max_pairs);
  // By counting sort. ids: [tokens * top_k], each in [0, num_experts) (asserted); weights alike.
  void rebuild(std::span<const int32_t> ids, std::span<const float> weights, int num_experts, int top_k);

  int64_t pairs() const { return static_cast<int64_t>(packed_pairs_.size()); }
  // [num_experts + 1]: expert e has the packed rows expert_offsets[e] .. expert_offsets[e + 1].
  std::span<const int32_t> expert_offsets() const { return expert_offsets_; }
  // Experts that some token chose, ascending.
  std::span<const int32_t> active_experts() const { return active_experts_; }
  std::span<const int32_t> packed_token_idx() const { return packed_token_idx_; }  // [pairs]: token of a packed row
  std::span<const int32_t> packed_pairs() const { return packed_pairs_; }          // [pairs]: pair of a packed row
  std::span<const int32_t> pairs_by_token() const { return pairs_by_token_; }      // [pairs]: packed row of a pair
  std::span<const float> pair_weights() const { return pair_weights_; }            // [pairs]: weight of a pair

  int64_t rows_of(int32_t expert) const {
    const auto e = static_cast<size_t>(expert);
    return expert_offsets_[e + 1] - expert_offsets_[e];
  }

 private:
  std::vector<int32_t> expert_offsets_, active_experts_, packed_token_idx_, packed_pairs_, pairs_by_token_;
  std::vector<float> pair_weights_;
  std::vector<int32_t> cursors_;  // while packing: the next free row of each expert
};

}  // namespace ferrum
