// Panels of BF16 weights times activations rounded to BF16: vdpbf16ps, which adds the products of two columns to a sum.
//
// It rounds after each of the two products, the odd column's first, and takes subnormal numbers for zeros
// (Intel's manual, VDPBF16PS). A result is one chain over the pairs of its row's columns in ascending order.
#include <immintrin.h>

#include <cstring>

#include "backend/cpu/float_kernels.h"

namespace ferrum {

// Declared where they are chosen, in float_kernels.cc.
void bf16_panel_dot_avx512(const DotTask& task);
void pack_bf16_tile_avx512(const TileTask& task);

namespace {

constexpr int kPanels = 2;
constexpr size_t kStep = 64;  // bytes of two columns of a panel
constexpr size_t kFetchAhead = 4096;

inline __attribute__((always_inline)) __m512bh as_bf16(__m512i x) { return reinterpret_cast<__m512bh>(x); }

inline __attribute__((always_inline)) void store_rows(const DotTask& task, int64_t token, int64_t row, __m512 sum) {
  const int64_t rows = task.rows - row;
  const auto mask = static_cast<__mmask16>(rows >= kPanelRows ? 0xffff : (1u << rows) - 1);
  if (task.bias != nullptr) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, task.bias + row));
  _mm512_mask_storeu_ps(task.y + token * task.y_stride + row, mask, sum);
}

// kTokens tokens that stand side by side in a tile of `width`, x being the first one's place in it.
template <int kSome, int kTokens>
inline __attribute__((always_inline)) void tile(const DotTask& task, int64_t row, int64_t token, const int32_t* x,
                                                int64_t width) {
  __m512 sums[kSome][kTokens];
  for (int p = 0; p < kSome; ++p) {
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t) sums[p][t] = _mm512_setzero_ps();
  }
  const std::byte* w = task.weights + static_cast<size_t>(row) * task.row_bytes;
  const size_t panel = kPanelRows * task.row_bytes;
  for (int64_t at = 0; at < task.columns; at += 2, w += kStep, x += width) {
    if constexpr (kTokens <= 2) {  // weights come from memory, faster than they are multiplied
      for (int p = 0; p < kSome; ++p) __builtin_prefetch(w + static_cast<size_t>(p) * panel + kFetchAhead);
    }
    __m512i weights[kSome];
#pragma GCC unroll 2
    for (int p = 0; p < kSome; ++p) weights[p] = _mm512_loadu_si512(w + static_cast<size_t>(p) * panel);
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t) {
      const __m512i pair = _mm512_set1_epi32(x[t]);
#pragma GCC unroll 2
      for (int p = 0; p < kSome; ++p) {
        sums[p][t] = _mm512_dpbf16_ps(sums[p][t], as_bf16(weights[p]), as_bf16(pair));
      }
    }
  }
  for (int p = 0; p < kSome; ++p) {
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t) store_rows(task, token + t, row + p * kPanelRows, sums[p][t]);
  }
}

template <int kSome>
void tiles(const DotTask& task, int64_t row) {
  const auto* x = static_cast<const int32_t*>(task.x);
  for (int64_t token = 0; token < task.tokens; token += kFloatTileTokens) {
    const int64_t left = task.tokens - token, width = left < kFloatTileTokens ? left : kFloatTileTokens;
    int64_t t = 0;
    for (; t + 12 <= width; t += 12) tile<kSome, 12>(task, row, token + t, x + t, width);
    for (; t + 8 <= width; t += 8) tile<kSome, 8>(task, row, token + t, x + t, width);
    for (; t + 4 <= width; t += 4) tile<kSome, 4>(task, row, token + t, x + t, width);
    for (; t + 2 <= width; t += 2) tile<kSome, 2>(task, row, token + t, x + t, width);
    for (; t < width; ++t) tile<kSome, 1>(task, row, token + t, x + t, width);
    x += kFloatTileTokens * task.x_stride / 2;
  }
}

}  // namespace

void bf16_panel_dot_avx512(const DotTask& task) {
  int64_t row = 0;
  for (; row + kPanelRows < task.rows; row += kPanels * kPanelRows) tiles<kPanels>(task, row);
  for (; row < task.rows; row += kPanelRows) tiles<1>(task, row);
}

// Rounded to the nearest, half to even; a pair of columns after the other, an odd last one paired with zero.
void pack_bf16_tile_avx512(const TileTask& task) {
  auto* out = static_cast<int32_t*>(task.out);
  for (int64_t t = 0; t < task.tokens; ++t) {
    const float* x = task.x + t * task.x_stride;
    for (int64_t at = 0; at < task.columns; at += 16) {
      const int64_t some = task.columns - at < 16 ? task.columns - at : 16;
      const __m512 values = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << some) - 1), x + at);
      int32_t pairs[8];
      const __m256bh rounded = _mm512_cvtneps_pbh(values);
      std::memcpy(pairs, &rounded, sizeof pairs);
      for (int64_t i = 0; 2 * i < some; ++i) out[(at / 2 + i) * task.tokens + t] = pairs[i];
    }
  }
}

}  // namespace ferrum
