// Panels of F32, F16 and BF16 weights (cpu/float_panels.h) times float activations, for any number of tokens.
//
// Beside the operations of vec_*.h this needs load_bf16_pairs(p, low, high): of 16 pairs of BF16 numbers at p, a lane's
// first and second.
//
// A row is a lane, and a result is one chain of fused multiply-adds over its row's columns in ascending order, the bias
// last: the same whatever the number of tokens, since sums stay in registers from the first column to the last.
#pragma once

#include "backend/cpu/float_kernels.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

// Sums that fit the registers beside the weights and one activation: panels x tokens.
constexpr int kFloatPanels = kManyRegisters ? 2 : 1;
constexpr int kFloatTile = kManyRegisters ? 12 : 6;

constexpr size_t kFetchAhead = 4096;  // measured: 12 GB/s without, 15 with 1 KB, 18 with 4

// A step is what is loaded at a time: kColumns columns of 16 rows.
struct FloatPanelF32 {
  static constexpr int kColumns = 1;
  static constexpr size_t kBytes = 64;
  FERRUM_INLINE void load_step(const std::byte* p, F32* w) { w[0] = load(reinterpret_cast<const float*>(p)); }
};
struct FloatPanelF16 {
  static constexpr int kColumns = 1;
  static constexpr size_t kBytes = 32;
  FERRUM_INLINE void load_step(const std::byte* p, F32* w) { w[0] = load_f16(p); }
};
struct FloatPanelBF16 {
  static constexpr int kColumns = 2;
  static constexpr size_t kBytes = 64;
  FERRUM_INLINE void load_step(const std::byte* p, F32* w) { load_bf16_pairs(p, w[0], w[1]); }
};

FERRUM_INLINE void store_panel_rows(const DotTask& task, int64_t token, int64_t row, F32 sum) {
  float* y = task.y + token * task.y_stride + row;
  const float* bias = task.bias != nullptr ? task.bias + row : nullptr;
  const int64_t rows = task.rows - row;
  if (rows >= kPanelRows) {
    store(y, bias != nullptr ? add(sum, load(bias)) : sum);
    return;
  }
  float some[kPanelRows];
  store(some, sum);
  for (int64_t r = 0; r < rows; ++r) y[r] = bias != nullptr ? some[r] + bias[r] : some[r];
}

// kTokens tokens that stand side by side in a tile of `width`, x being the first one's place in it.
template <typename Format, int kPanels, int kTokens>
FERRUM_INLINE void float_tile(const DotTask& task, int64_t row, int64_t token, const float* x, int64_t width) {
  F32 sums[kPanels][kTokens];
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t) sums[p][t] = zero();
  }
  const std::byte* w = task.weights + static_cast<size_t>(row) * task.row_bytes;
  const size_t panel = kPanelRows * task.row_bytes;
  for (int64_t at = 0; at < task.columns; at += Format::kColumns, w += Format::kBytes) {
    if constexpr (kTokens <= 2) {  // weights come from memory, faster than they are multiplied
      for (int p = 0; p < kPanels; ++p) __builtin_prefetch(w + static_cast<size_t>(p) * panel + kFetchAhead);
    }
    F32 weights[kPanels][Format::kColumns];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) Format::load_step(w + static_cast<size_t>(p) * panel, weights[p]);
#pragma GCC unroll 2
    for (int c = 0; c < Format::kColumns; ++c, x += width) {
#pragma GCC unroll 12
      for (int t = 0; t < kTokens; ++t) {
        const F32 value = set1(x[t]);
#pragma GCC unroll 2
        for (int p = 0; p < kPanels; ++p) sums[p][t] = fma(weights[p][c], value, sums[p][t]);
      }
    }
  }
  for (int p = 0; p < kPanels; ++p) {
#pragma GCC unroll 12
    for (int t = 0; t < kTokens; ++t) store_panel_rows(task, token + t, row + p * kPanelRows, sums[p][t]);
  }
}

template <typename Format, int kPanels>
FERRUM_INLINE void float_tiles(const DotTask& task, int64_t row) {
  const auto* tile = static_cast<const float*>(task.x);
  for (int64_t token = 0; token < task.tokens; token += kFloatTileTokens) {
    const int64_t left = task.tokens - token, width = left < kFloatTileTokens ? left : kFloatTileTokens;
    int64_t t = 0;
    for (; t + kFloatTile <= width; t += kFloatTile) {
      float_tile<Format, kPanels, kFloatTile>(task, row, token + t, tile + t, width);
    }
    if constexpr (kFloatTile > 8) {
      for (; t + 8 <= width; t += 8) float_tile<Format, kPanels, 8>(task, row, token + t, tile + t, width);
    }
    for (; t + 4 <= width; t += 4) float_tile<Format, kPanels, 4>(task, row, token + t, tile + t, width);
    for (; t + 2 <= width; t += 2) float_tile<Format, kPanels, 2>(task, row, token + t, tile + t, width);
    for (; t < width; ++t) float_tile<Format, kPanels, 1>(task, row, token + t, tile + t, width);
    tile += kFloatTileTokens * task.x_stride;
  }
}

// Some tokens side by side: column after column, an odd last one followed by zeros.
static void arrange_floats(const TileTask& task) {
  auto* out = static_cast<float*>(task.out);
  for (int64_t t = 0; t < task.tokens; ++t) {
    const float* x = task.x + t * task.x_stride;
    for (int64_t at = 0; at < task.columns; ++at) out[at * task.tokens + t] = x[at];
    if (task.columns % 2 != 0) out[task.columns * task.tokens + t] = 0.0f;
  }
}

template <typename Format>
static void float_panel_dot(const DotTask& task) {
  int64_t row = 0;
  if constexpr (kFloatPanels > 1) {
    for (; row + kPanelRows < task.rows; row += kFloatPanels * kPanelRows) float_tiles<Format, kFloatPanels>(task, row);
  }
  for (; row < task.rows; row += kPanelRows) float_tiles<Format, 1>(task, row);
}

// Evaluated by the compiler, as the tables of table.h.
constexpr FloatKernels make_float_kernels() {
  FloatKernels k;
  k.of(DType::kF32) = {arrange_floats, sizeof(float), float_panel_dot<FloatPanelF32>};
  k.of(DType::kF16) = {arrange_floats, sizeof(float), float_panel_dot<FloatPanelF16>};
  k.of(DType::kBF16) = {arrange_floats, sizeof(float), float_panel_dot<FloatPanelBF16>};
  return k;
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
