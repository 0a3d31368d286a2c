// Functions in float operations that are rounded the same everywhere: the emulator gives the device's bits.
#pragma once

#include "backend/cuda/kernels/simt.h"

namespace ferrum::cuda::FERRUM_CUDA_TARGET {

// 2^n for integers -126 <= n <= 127.
FERRUM_DEVICE float power_of_two(float n) {
  return float_of(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}

// exp(x) as backend "cpu" computes it (cpu/kernels/exp.h): Cephes' polynomial on |r| <= ln(2) / 2; within two units in
// the last place, 0 below about -104, infinity above about 88.73, NaN stays NaN.
FERRUM_DEVICE float exp_of(float x) {
  if (x > 89.0f) x = 89.0f;
  if (x < -104.0f) x = -104.0f;
  const float n = rintf(x * 1.44269504088896341f);
  const float r = x - n * 0.693359375f - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const float half = x == x ? rintf(n * 0.5f) : 0.0f;
  return p * power_of_two(half) * (x == x ? power_of_two(n - half) : 1.0f);
}

// The sum over the lanes of a warp, in every lane: always the same tree.
template <typename T>
FERRUM_DEVICE T warp_sum(T x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(0xffffffffu, x, lanes);
  return x;
}
FERRUM_DEVICE float warp_max(float x) {
  for (int lanes = 16; lanes > 0; lanes /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lanes));
  return x;
}

}  // namespace ferrum::cuda::FERRUM_CUDA_TARGET
