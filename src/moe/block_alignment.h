// A bucket plan cut into blocks of equally many rows of one expert, for kernels that compute a block at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "moe/bucket_plan.h"

namespace ferrum {

// What the sorted ids count: rows of gathered activations, or pairs, whose activations are read where they are.
enum class SortedIds { kPackedRows, kPairs };

struct BlockAlignment {
  int block_size = 0;
  std::vector<int32_t> sorted_ids;     // whole blocks; the rest of an expert's last block is the number of pairs
  std::vector<int32_t> block_experts;  // [sorted_ids / block_size]

  int64_t padded_rows() const { return static_cast<int64_t>(sorted_ids.size()); }
};

// The most rows that so many pairs can be padded to.
int64_t max_padded_rows(int64_t pairs, int num_experts, int block_size);

// Rebuilds `out`, reusing its memory. Experts in ascending order; those without rows have no block.
void align_blocks(const BucketPlan& plan, int block_size, SortedIds ids, BlockAlignment& out);

// How many rows a block has.
struct MoeBlockSizes {
  std::optional<int64_t> block_size;          // of every batch
  std::optional<int64_t> large_m_block_size;  // of large batches that are routed on the device
  int64_t large_m_min_pairs = 1024;           // token-expert pairs from which a batch is large
};

// Rows per expert block for one batch. A size that is set wins. Batches routed on the device take the one for large
// batches, if it is set and they are, or 16. Others take the largest of 64, 32 and 16 that pads the rows of the experts
// by at most 30 %, or 16. expert_offsets ([experts + 1]) is empty where the routing is not known on the host.
int64_t moe_block_size(const MoeBlockSizes& sizes, std::span<const int32_t> expert_offsets, bool device_route,
                       int64_t total_pairs);

}  // namespace ferrum
