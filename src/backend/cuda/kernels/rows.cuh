#pragma once

#include "backend/cuda/kernels/blocks.cuh"
#include "backend/cuda/kernels/math.cuh"
#include "backend/cuda/kernels/rows.h"

namespace ferrum::cuda::FERRUM_CUDA_TARGET {

// The element of a launch of elements_shape().
FERRUM_DEVICE int64_t column_of_thread() { return int64_t{blockIdx.y} * kRowThreads + threadIdx.x; }

// The sum over a block of kRowThreads, in every thread.
FERRUM_DEVICE float block_sum(float x) {
  constexpr int kWarps = kRowThreads / 32;
  const Shared<float> partial = shared_memory<float>(0, kWarps);
  x = warp_sum(x);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = x;
  __syncthreads();
  float sum = 0;
  for (int warp = 0; warp < kWarps; ++warp) sum += partial[warp];
  return sum;
}

FERRUM_KERNEL(kRowThreads) void rms_norm(const RmsNormArgs a) {
  float* x = a.x.data + int64_t{blockIdx.x} * a.x.stride;
  float* y = a.y.data + int64_t{blockIdx.x} * a.y.stride;
  if (a.delta.data != nullptr) {
    const float* delta = a.delta.data + int64_t{blockIdx.x} * a.delta.stride;
    for (int64_t i = threadIdx.x; i < a.columns; i += kRowThreads) x[i] += delta[i];
  }
  float squares = 0;
  for (int64_t i = threadIdx.x; i < a.columns; i += kRowThreads) squares = fmaf(x[i], x[i], squares);
  const float factor = 1.0f / sqrtf(block_sum(squares) / static_cast<float>(a.columns) + a.eps);
  for (int64_t i = threadIdx.x; i < a.columns; i += kRowThreads) y[i] = x[i] * factor * a.weight[i];
}

FERRUM_KERNEL(kRowThreads) void add(const AddArgs a) {
  const int64_t row = blockIdx.x, i = column_of_thread();
  if (i >= a.columns) return;
  float& x = a.x.data[row * a.x.stride + i];
  x = fmaf(a.scale != nullptr ? a.scale[row] : 1.0f, a.delta.data[row * a.delta.stride + i], x);
}

FERRUM_KERNEL(kRowThreads) void silu_mul(const SiluMulArgs a) {
  const int64_t row = blockIdx.x, i = column_of_thread();
  if (i >= a.columns) return;
  const float* x = a.gate_up.data + row * a.gate_up.stride;
  a.y.data[row * a.y.stride + i] = x[i] / (1.0f + exp_of(-x[i])) * x[a.columns + i];
}

FERRUM_KERNEL(kRowThreads) void gather(const GatherArgs a) {
  const int64_t row = blockIdx.x, i = column_of_thread();
  if (i >= a.columns) return;
  a.y.data[row * a.y.stride + i] = a.x.data[a.rows[row] * a.x.stride + i];
}

FERRUM_KERNEL(kRowThreads) void embed(const EmbedArgs a) {
  const int64_t row = blockIdx.x, i = column_of_thread();
  if (i >= a.columns) return;
  const auto* stored = static_cast<const unsigned char*>(a.table) + a.ids[row] * a.row_bytes;
  a.y.data[row * a.y.stride + i] = stored_element(a.dtype, stored, i);
}

// The angle in float32, as ops.h asks; cos and sin of it in double, because arguments reach a million.
FERRUM_KERNEL(kRowThreads) void rope(const RopeArgs a) {
  const int64_t row = blockIdx.x, i = column_of_thread();
  if (i >= a.pairs) return;
  const double angle = static_cast<double>(static_cast<float>(a.positions[row]) * a.inv_freq[i]);
  const double magnitude = static_cast<double>(a.magnitude);
  float* y = a.y.data + row * a.y.stride;
  y[i] = static_cast<float>(cos(angle) * magnitude);
  y[a.pairs + i] = static_cast<float>(sin(angle) * magnitude);
}

inline const RowKernels& row_kernels() {
  static const RowKernels kernels{{"rms_norm", rms_norm}, {"add", add},     {"silu_mul", silu_mul},
                                  {"gather", gather},     {"embed", embed}, {"rope", rope}};
  return kernels;
}

}  // namespace ferrum::cuda::FERRUM_CUDA_TARGET
