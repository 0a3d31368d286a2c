// Kernels along one row: quantising activations, norms, SiLU, rotation, storing K and V.
//
// Loops here are plain where the compiler can vectorise them without changing a bit: each output depends on its own
// inputs only, or the partial sums are spelled out.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/exp.h"
#include "backend/cpu/kernels/plain.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

FERRUM_INLINE uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
FERRUM_INLINE float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Group g of 32 elements of a block; the rounding is that of quantize_activations in quant/quantize.h.
FERRUM_INLINE void quantize_group(const float* x, int g, ActBlock& out) {
  int32_t largest = 0;  // of the magnitudes' bit patterns, whose order is that of the numbers, with NaN above all
  for (int i = 0; i < 32; ++i) {
    const auto magnitude = static_cast<int32_t>(bits_of(x[i]) & 0x7fffffffu);
    largest = magnitude > largest ? magnitude : largest;
  }
  const float max = float_of(static_cast<uint32_t>(largest));
  const bool finite = largest < 0x7f800000;
  const bool zero_group = max < 1e-30f;
  const float factor = finite && !zero_group ? 127.0f / max : 0.0f;
  const float d = !finite ? __builtin_nanf("") : zero_group ? 0.0f : max / 127.0f;
  int8_t* q = out.q + 32 * g;
  for (int i = 0; i < 32; ++i) {
    // Adding 1.5 * 2^23 rounds to an integer, half to even, and leaves it in the low bits of the sum.
    const float scaled = finite ? x[i] * factor : 0.0f;
    q[i] = static_cast<int8_t>(bits_of(scaled + 12582912.0f) & 0xffu);
  }
  int first = 0, second = 0;
  for (int i = 0; i < 16; ++i) first += q[i];
  for (int i = 16; i < 32; ++i) second += q[i];
  out.d[g] = d;
  out.sum32[g] = d * static_cast<float>(first + second);
  out.sum16[2 * g] = d * static_cast<float>(first);
  out.sum16[2 * g + 1] = d * static_cast<float>(second);
  out.start32[g] = kSumStart - 128 * (first + second);
  out.start16[2 * g] = kSumStart - 128 * first;
  out.start16[2 * g + 1] = kSumStart - 128 * second;
}

static void quantize(const float* x, int64_t n, ActBlock* blocks) {
  for (int64_t at = 0; at < n; at += 256, ++blocks) {
    float padded[256];
    const float* source = x + at;
    if (n - at < 256) {
      std::memset(padded, 0, sizeof padded);
      std::memcpy(padded, source, static_cast<size_t>(n - at) * sizeof(float));
      source = padded;
    }
    for (int g = 0; g < 8; ++g) quantize_group(source + 32 * g, g, *blocks);
  }
}

// The squares are added in double: sixteen sums, then in order.
static void rms_norm(const float* x, const float* weight, int64_t n, float eps, float* y) {
  double lanes[16] = {};
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    for (int l = 0; l < 16; ++l) lanes[l] += static_cast<double>(x[i + l]) * static_cast<double>(x[i + l]);
  }
  for (int l = 0; i < n; ++i, ++l) lanes[l] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double total = 0;
  for (double lane : lanes) total += lane;
  const auto factor =
      static_cast<float>(1.0 / __builtin_sqrt(total / static_cast<double>(n) + static_cast<double>(eps)));
  // In vectors, because y may be x, with which the compiler would not dare.
  int64_t j = 0;
  for (; j + 16 <= n; j += 16) store(y + j, mul(mul(load(x + j), set1(factor)), load(weight + j)));
  for (; j < n; ++j) y[j] = x[j] * factor * weight[j];
}

static void add_row(float* x, const float* delta, int64_t n) {
  for (int64_t i = 0; i < n; ++i) x[i] += delta[i];
}

FERRUM_INLINE F32 silu(F32 x) { return div(x, add(set1(1.0f), exp(sub(zero(), x)))); }

static void silu_mul(const float* gate, const float* up, int64_t n, float* y) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(y + i, mul(silu(load(gate + i)), load(up + i)));
  if (i < n) {
    float last[16];
    store(last, mul(silu(load_some<PlainF32>(gate + i, n - i)), load_some<PlainF32>(up + i, n - i)));
    std::memcpy(y + i, last, static_cast<size_t>(n - i) * sizeof(float));
  }
}

static void exp_row(const float* x, int64_t n, float* y) {
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t some = n - i < 16 ? n - i : 16;
    float out[16];
    store(out, exp(load_some<PlainF32>(x + i, some)));
    std::memcpy(y + i, out, static_cast<size_t>(some) * sizeof(float));
  }
}

// Pairs from number `i` on, of which neighbouring ones are kStep elements apart, the partners `apart`.
template <int kStep>
FERRUM_INLINE void rotate_pairs(float* head, const float* cosines, const float* sines, int i, int half, int apart) {
  for (; i < half; ++i) {
    const float a = head[kStep * i], b = head[kStep * i + apart];
    head[kStep * i] = a * cosines[i] - b * sines[i];
    head[kStep * i + apart] = a * sines[i] + b * cosines[i];
  }
}

static void rotate(float* head, const float* cos_sin, int rope_dim, RopeLayout layout) {
  const int half = rope_dim / 2;
  const float* cosines = cos_sin;
  const float* sines = cos_sin + half;
  if (layout == RopeLayout::kInterleaved) return rotate_pairs<2>(head, cosines, sines, 0, half, 1);
  int i = 0;
  for (; i + 16 <= half; i += 16) {
    const F32 a = load(head + i), b = load(head + half + i), c = load(cosines + i), s = load(sines + i);
    store(head + i, sub(mul(a, c), mul(b, s)));
    store(head + half + i, add(mul(a, s), mul(b, c)));
  }
  rotate_pairs<1>(head, cosines, sines, i, half, half);
}

template <typename T>
FERRUM_INLINE void spread(const T* from, int64_t n, int64_t step, T* to) {
  for (int64_t i = 0; i < n; ++i) to[i * step] = from[i];
}

// Symmetric, one scale for the row; rounding and special rows are those of quantize_group().
static void store_kv_i8(const KvStoreTask& task) {
  int32_t largest = 0;
  for (int64_t i = 0; i < task.n; ++i) {
    const auto magnitude = static_cast<int32_t>(bits_of(task.x[i]) & 0x7fffffffu);
    largest = magnitude > largest ? magnitude : largest;
  }
  const float max = float_of(static_cast<uint32_t>(largest));
  const bool finite = largest < 0x7f800000, zero_row = max < 1e-30f;
  const float factor = finite && !zero_row ? 127.0f / max : 0.0f;
  *task.scale = !finite ? __builtin_nanf("") : zero_row ? 0.0f : max / 127.0f;
  auto* out = static_cast<int8_t*>(task.out);
  for (int64_t i = 0; i < task.n; ++i) {
    const float scaled = finite ? task.x[i] * factor : 0.0f;
    out[i * task.step] = static_cast<int8_t>(bits_of(scaled + 12582912.0f) & 0xffu);
  }
}

FERRUM_INLINE void to_bf16(const float* x, uint16_t* half) {
  for (int l = 0; l < 16; ++l) {
    const uint32_t bits = bits_of(x[l]);
    const uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    half[l] = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded);
  }
}

static void store_kv(const KvStoreTask& task) {
  if (task.dtype == DType::kI8) return store_kv_i8(task);
  if (task.dtype == DType::kF32) return spread(task.x, task.n, task.step, static_cast<float*>(task.out));
  auto* out = static_cast<uint16_t*>(task.out);
  for (int64_t i = 0; i < task.n; i += 16) {
    const int64_t some = task.n - i < 16 ? task.n - i : 16;
    uint16_t half[16];
    const F32 values = load_some<PlainF32>(task.x + i, some);
    if (task.dtype == DType::kF16) {
      store_f16(half, values);
    } else {
      float f[16];
      store(f, values);
      to_bf16(f, half);
    }
    spread(half, some, task.step, out + i * task.step);
  }
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
