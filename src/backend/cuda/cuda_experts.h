// Experts on a device: no number of a routing comes to the host (docs/cuda.md, "Experts").
#pragma once

#include "backend/cuda/cuda_linear.h"
#include "ops/experts.h"

namespace ferrum::cuda {

// What experts need for a step, shared by all layers; grown when Experts are made, so that a step allocates nothing.
struct ExpertScratch {
  Buffer plan;                    // an ExpertPlan
  Buffer hidden;                  // f32 [pairs, 2 ffn]
  Buffer results;                 // f32 [pairs, hidden]
  ActivationScratch activations;  // of pairs
};
struct ExpertScratchBytes {
  int64_t plan = 0, hidden = 0, results = 0, activations = 0;

  int64_t total() const { return plan + hidden + results + activations; }
  void grow(const ExpertScratchBytes& other);  // to what either needs
};
ExpertScratchBytes expert_scratch_bytes(const ExpertsSpec& spec, int max_tokens);

// `spec` must be valid. kCapacity where the device has no memory left.
Result<std::unique_ptr<Experts>> make_cuda_experts(const ExpertsSpec& spec, Queue& queue, ExpertScratch& scratch,
                                                   int max_tokens);

}  // namespace ferrum::cuda
