// What is set for mixture-of-experts models.
#pragma once

#include <cstdint>

#include "config/settings.h"
#include "moe/block_alignment.h"

namespace ferrum {

struct MoeProfile {
  MoeBlockSizes blocks;
  bool batched = true;          // experts compute all rows of a decode step together ...
  int64_t batch_threshold = 4;  // ... from so many rows on
  bool unified_prefill = true;  // prompt chunks of several sequences in one pass
  bool host_route = false;
  bool zero_workspace = false;
  bool profile = false, load_trace = false, unified_trace = false;
};

MoeProfile resolve_moe_profile(const Settings& settings);

}  // namespace ferrum
