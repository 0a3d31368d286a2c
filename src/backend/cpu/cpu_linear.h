#pragma once

#include "backend/cpu/cpu_context.h"

namespace ferrum {

// The context outlives the Linear. kCorrupt or kInvalidArgument as validate_linear; kCapacity when the system has no
// memory for the scratch.
Result<std::unique_ptr<Linear>> make_cpu_linear(CpuContext& context, LinearSpec spec);

}  // namespace ferrum
