// How expert blocks are cut: a pure function of the settings and the routing of a batch.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "config/settings.h"

namespace ferrum {

struct MoeProfile {
  std::optional<int64_t> block_size;          // rows per expert block, of every batch
  std::optional<int64_t> large_m_block_size;  // of large batches that are routed on the device
  int64_t large_m_min_pairs = 1024;           // token-expert pairs from which a batch is large
  bool batched = true;                        // experts compute all rows of a decode step together ...
  int64_t batch_threshold = 4;                // ... from so many rows on
  bool unified_prefill = true;                // prompt chunks of several sequences in one pass
  bool host_route = false;
  bool zero_workspace = false;
  bool profile = false, load_trace = false, unified_trace = false;
};

MoeProfile resolve_moe_profile(const Settings& settings);

// Rows per expert block for one batch. A size that is set wins. Batches routed on the device take the one for large
// batches, if it is set and they are, or 16. Others take the largest of 64, 32 and 16 that pads the rows of the experts
// by at most 30 %, or 16. rows_per_expert is empty where the routing is not known on the host.
int64_t moe_block_size(const MoeProfile& profile, std::span<const int64_t> rows_per_expert, bool device_route,
                       int64_t total_pairs);

}  // namespace ferrum
