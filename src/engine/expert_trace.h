// How the experts of each layer are kept, for FERRUM_MOE_LOAD_TRACE.
#pragma once

#include <string>
#include <vector>

#include "io/gguf.h"

namespace ferrum {

// A line per layer: number and shape of its experts, types and bytes of each role. Empty for models without experts.
// The file must be one that bind_weights accepts.
std::vector<std::string> describe_experts(const Gguf& file);

}  // namespace ferrum
