// y[t] = sum over the experts e of token t, in ascending order: weight * down_e(silu(gate_e(x[t])) * up_e(x[t]))
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "ops/linear.h"
#include "ops/ops.h"

namespace ferrum {

// However a file keeps them: each expert is what a Linear is made of, in place. Matrices of all experts that are stored
// as one tensor are slices of it; gate and up that are stored as one matrix (gate's rows first) are its halves.
struct ExpertWeights {
  WeightRef gate, up;  // [expert_ffn, hidden]
  WeightRef down;      // [hidden, expert_ffn]
};

// Of its three matrices.
inline int64_t stored_bytes(const ExpertWeights& expert) {
  int64_t bytes = 0;
  for (const WeightRef* weight : {&expert.gate, &expert.up, &expert.down}) {
    bytes += static_cast<int64_t>(bytes_of(weight->matrix.dtype, weight->matrix.elements()));
  }
  return bytes;
}

struct ExpertsSpec {
  std::vector<ExpertWeights> experts;  // all of the same shapes; types may differ
  int top_k = 0;                       // of the routings to come
};

class Experts {
 public:
  virtual ~Experts() = default;
  virtual int64_t num_experts() const = 0;
  // x, y: f32 [T, hidden], not overlapping; T from 0 to the limit the backend was made with. Reads ids and weights of
  // the routing, whose ids are in range. Sums begin with +0. A token's result depends on nothing but itself.
  virtual void forward(Ops& ops, ConstView x, const Routing& routing, View y) const = 0;
};

}  // namespace ferrum
