#pragma once

#include "backend/cpu/cpu_context.h"

namespace ferrum {

// Multiply-adds below which one thread is done before others would have started: some four microseconds.
inline constexpr int64_t kWorthSharing = int64_t{1} << 18;
inline constexpr int64_t kElementsPerGrain = 16384;  // likewise, of simple work

// The context outlives the Linear. kCorrupt or kInvalidArgument as validate_linear; kCapacity when the system has no
// memory for the scratch.
Result<std::unique_ptr<Linear>> make_cpu_linear(CpuContext& context, LinearSpec spec);

// ActBlocks from token to token: an odd number, or tokens that are read together would lie a power of two apart and
// share a few sets of the first-level cache.
int64_t act_blocks_of(int64_t in_features);

// Bytes of scratch that a Linear of these input features makes the context hold (the largest of all Linears counts):
// of quantised activations, tiles of float ones, and of the row buffers of types without a kernel of their own.
struct LinearScratch {
  int64_t activations = 0, rows = 0;
  int64_t tiles = 0;  // of panels of float weights only
};
LinearScratch linear_scratch(DType dtype, int64_t in_features, int max_tokens, int threads);

}  // namespace ferrum
