#pragma once

#include <span>

#include "backend/cpu/cpu_context.h"

namespace ferrum {

// The context outlives the Experts. kCorrupt or kInvalidArgument as validate_experts; kCapacity when the system has no
// memory for the scratch.
Result<std::unique_ptr<Experts>> make_cpu_experts(CpuContext& context, ExpertsSpec spec);

// Bytes of scratch that Experts of these matrices make the context hold (the largest of all counts), besides what
// linear_scratch() says for gate and up: gathered rows, hidden layers, these quantised, and the plan.
struct ExpertScratch {
  int64_t gathered = 0, hidden = 0, blocks = 0, plan = 0;
};
ExpertScratch expert_scratch(const ExpertsSpec& spec, int max_tokens);

}  // namespace ferrum
