// What the ops and the Linears of one cpu backend share.
#pragma once

#include <atomic>

#include "backend/cpu/float_kernels.h"
#include "backend/cpu/weight_layout.h"
#include "base/thread_pool.h"
#include "moe/bucket_plan.h"
#include "ops/backend.h"
#include "tensor/host_memory.h"

namespace ferrum {

struct CpuContext {
  CpuContext(CpuIsa level, const CpuKernels& table, int threads, BackendLimits the_limits, WeightLayout the_layout)
      : isa(level), kernels(table), limits(the_limits), layout(the_layout), pool(threads) {}

  const CpuIsa isa;
  const CpuKernels kernels;  // of that level, or where one of them failed the parity gate, of a lower one
  const BackendLimits limits;
  const WeightLayout layout;
  ThreadPool pool;
  HostArena panels;  // of all Linears

  // Scratch of Linear::forward, used by one of them at a time; grown when a Linear is made, never while one runs.
  Buffer activations;  // ActBlock [max_tokens, blocks of the widest quantised Linear]
  Buffer tiles;        // float or BF16 [max_tokens, float_tile_stride of the widest Linear of float weights]
  Buffer rows;         // f32 [threads, in_features of the widest Linear that dequantises rows]

  // Scratch of Experts::forward, likewise. A pair is a token with one of its experts.
  BucketPlan plan;
  Buffer gathered;       // ActBlock or f32 rows of the hidden size [pairs]
  Buffer expert_hidden;  // f32 [pairs, expert_ffn]
  Buffer expert_blocks;  // ActBlock [pairs, blocks of expert_ffn]

  // What the stores of experts did, of all layers; others read while a step writes.
  struct {
    std::atomic<int64_t> hits = 0, misses = 0, bytes_read = 0, slots = 0;
  } expert_cache;
};

}  // namespace ferrum
