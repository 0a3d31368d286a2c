// The start-up check of the compute kernels: before a kernel is used on a model, it computes a small sample of that
// model's own weights and is compared with the reference backend. One that differs is not used; the next lower
// instruction set's takes its place (every level gives the same bits, so levels may be mixed freely).
//
// What this guards against: a miscompiled or broken kernel, a processor or an emulator that executes an instruction
// wrongly. It costs some milliseconds and touches a few rows per weight type (docs/backends.md).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "backend/cpu/float_kernels.h"
#include "backend/cpu/weight_layout.h"
#include "ops/backend.h"

namespace ferrum {

// What a model will make the kernels do.
struct ParitySample {
  std::vector<WeightRef> matrices;  // one of each weight type; the first rows are used
  ConstView norm;                   // f32 [hidden]: a norm's weights
  float norm_eps = 1e-5f;
  int num_heads = 0, num_kv_heads = 0, head_dim = 0;
  int rope_dim = 0;
  RopeLayout rope_layout = RopeLayout::kInterleaved;
  DType kv_dtype = DType::kF16;
  int block_size = 16;
};

// A candidate for every kernel.
struct KernelLevel {
  std::string name;
  CpuKernels table;
};

struct GatedKernels {
  CpuKernels table;  // each checked kernel from the best level where it passes, the others from the best
  std::vector<KernelChoice> choices;
};

// levels: best first, at least one. Quantised weights are multiplied in the layout they will have. kInternal names the
// kernel that fails at every level.
Result<GatedKernels> gate_kernels(std::span<const KernelLevel> levels, const ParitySample& sample,
                                  WeightLayout layout = WeightLayout::kPanels);

}  // namespace ferrum
