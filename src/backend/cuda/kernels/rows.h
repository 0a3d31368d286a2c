// Kernels that work row by row: what they are told, and how they are launched.
#pragma once

#include <cstdint>

#include "backend/cuda/launch.h"
#include "tensor/dtype.h"

namespace ferrum::cuda {

inline constexpr int kRowThreads = 256;

// Rows of a matrix of float32; `stride` elements from one to the next.
struct Rows {
  float* data = nullptr;
  int64_t stride = 0;
};
struct ConstRows {
  const float* data = nullptr;
  int64_t stride = 0;
};

// y = x / sqrt(mean(x^2) + eps) * weight; with `delta`, x += delta before. One block per row.
struct RmsNormArgs {
  Rows x;
  ConstRows delta;  // no data = none; x is then only read
  const float* weight;
  Rows y;  // may be x
  int64_t columns;
  float eps;
};

// x += scale[row] * delta; without `scale`, x += delta.
struct AddArgs {
  Rows x;
  ConstRows delta;
  const float* scale;
  int64_t columns;
};

// y = silu(gate_up[.. columns)) * gate_up[columns ..)
struct SiluMulArgs {
  ConstRows gate_up;
  Rows y;
  int64_t columns;
};

// y[i] = x[rows[i]]
struct GatherArgs {
  ConstRows x;
  const int32_t* rows;
  Rows y;
  int64_t columns;
};

// y[i] = row ids[i] of a stored matrix, dequantised.
struct EmbedArgs {
  const void* table;
  DType dtype;
  int64_t row_bytes;
  const int32_t* ids;
  Rows y;
  int64_t columns;
};

// y[i] = (cos(positions[i] * inv_freq) .. , sin(positions[i] * inv_freq) ..) * magnitude
struct RopeArgs {
  const int32_t* positions;
  const float* inv_freq;
  float magnitude;
  Rows y;
  int64_t pairs;
};

// A thread per element.
inline LaunchShape elements_shape(int64_t rows, int64_t columns) {
  return {{static_cast<uint32_t>(rows), static_cast<uint32_t>(ceil_div(columns, kRowThreads))}, {kRowThreads}};
}
// A block per row, whose warps add up in shared memory.
inline LaunchShape row_shape(int64_t rows) {
  return {{static_cast<uint32_t>(rows)}, {kRowThreads}, kRowThreads / 32 * sizeof(float)};
}

struct RowKernels {
  Kernel<RmsNormArgs> rms_norm;
  Kernel<AddArgs> add;
  Kernel<SiluMulArgs> silu_mul;
  Kernel<GatherArgs> gather;
  Kernel<EmbedArgs> embed;
  Kernel<RopeArgs> rope;
};

}  // namespace ferrum::cuda
