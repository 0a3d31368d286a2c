// Panels of BF16 weights times activations rounded to BF16 on AMX: a tile of 16 tokens x 32 columns times a tile of 32
// columns x 16 rows (32 columns of a panel lie in memory as the instruction wants them).
//
// tdpbf16ps takes pairs of columns one after the other, each product rounded into the sum, and subnormal numbers for
// zeros. What is added to one result does not depend on the others in its tile: one token gives the same bits as 512.
#include <immintrin.h>

#include <cstring>

#include "backend/cpu/float_kernels.h"

namespace ferrum {

// Declared where they are chosen, in float_kernels.cc.
void bf16_panel_dot_amx(const DotTask& task);
void round_to_bf16_amx(const TileTask& task);

namespace {

constexpr int64_t kColumns = 32;  // of a pair of tiles
constexpr int kTokens = 16;       // rows of a tile of activations
constexpr size_t kStep = 1024;    // bytes of 32 columns of a panel

// The shapes of the eight tiles: sums 0-3, activations 4 and 5, weights 6 and 7. `tokens` of the first and the second
// tile of activations; `pairs` of columns.
struct alignas(64) Shapes {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};

  Shapes(int64_t first, int64_t second, int64_t pairs) {
    const auto row_bytes = static_cast<uint16_t>(4 * pairs);
    for (int i = 0; i < 4; ++i) set(i, i < 2 ? first : second, 64);
    set(4, first, row_bytes);
    set(5, second, row_bytes);
    set(6, pairs, 64);
    set(7, pairs, 64);
  }
  void set(int tile, int64_t count, uint16_t size) {
    rows[tile] = static_cast<uint8_t>(count);
    bytes[tile] = size;
  }
};

// What one call of products() walks along.
struct Walk {
  const std::byte* x;
  const std::byte* w;
  int64_t x_bytes;  // from token to token
  size_t panel;     // bytes
  int64_t second;   // bytes from the first token to that of the second tile
};

template <int kPanels, int kTiles>
inline __attribute__((always_inline)) void products(const Walk& at) {
  _tile_loadd(4, at.x, at.x_bytes);
  if constexpr (kTiles > 1) _tile_loadd(5, at.x + at.second, at.x_bytes);
  _tile_loadd(6, at.w, 64);
  _tile_dpbf16ps(0, 4, 6);
  if constexpr (kTiles > 1) _tile_dpbf16ps(2, 5, 6);
  if constexpr (kPanels > 1) {
    _tile_loadd(7, at.w + at.panel, 64);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (kTiles > 1) _tile_dpbf16ps(3, 5, 7);
  }
}

// Tokens are few when weights come from memory: then they are asked for early.
constexpr size_t kAhead = 4096;
inline __attribute__((always_inline)) void fetch(const std::byte* w) {
  for (size_t i = 0; i < kStep; i += 64) __builtin_prefetch(w + kAhead + i);
}

// `tokens` up to 16 kTiles, 16 kPanels rows.
template <int kPanels, int kTiles>
void block(const DotTask& task, int64_t row, int64_t token, int64_t tokens) {
  const int64_t first = tokens < kTokens ? tokens : kTokens, second = kTiles > 1 ? tokens - kTokens : 1;
  const Shapes whole(first, second, kColumns / 2);
  Walk at;
  at.x_bytes = task.x_stride * 2;
  at.x = static_cast<const std::byte*>(task.x) + token * at.x_bytes;
  at.w = task.weights + static_cast<size_t>(row) * task.row_bytes;
  at.panel = kPanelRows * task.row_bytes;
  at.second = kTokens * at.x_bytes;
  _tile_loadconfig(&whole);
  _tile_zero(0);
  if constexpr (kPanels > 1) _tile_zero(1);
  if constexpr (kTiles > 1) _tile_zero(2);
  if constexpr (kPanels > 1 && kTiles > 1) _tile_zero(3);
  int64_t column = 0;
  for (; column + kColumns <= task.columns; column += kColumns, at.x += 2 * kColumns, at.w += kStep) {
    if constexpr (kTiles == 1) {
      fetch(at.w);
      if constexpr (kPanels > 1) fetch(at.w + at.panel);
    }
    products<kPanels, kTiles>(at);
  }
  alignas(64) float sums[4][kTokens][kPanelRows];
  const auto keep = [&] {
    _tile_stored(0, sums[0], 64);
    if constexpr (kPanels > 1) _tile_stored(1, sums[1], 64);
    if constexpr (kTiles > 1) _tile_stored(2, sums[2], 64);
    if constexpr (kPanels > 1 && kTiles > 1) _tile_stored(3, sums[3], 64);
  };
  keep();
  if (column < task.columns) {  // fewer columns than a tile has: other shapes, which clear the tiles
    const Shapes rest(first, second, (task.columns - column + 1) / 2);
    _tile_loadconfig(&rest);
    _tile_loadd(0, sums[0], 64);
    if constexpr (kPanels > 1) _tile_loadd(1, sums[1], 64);
    if constexpr (kTiles > 1) _tile_loadd(2, sums[2], 64);
    if constexpr (kPanels > 1 && kTiles > 1) _tile_loadd(3, sums[3], 64);
    products<kPanels, kTiles>(at);
    keep();
  }
  for (int p = 0; p < kPanels; ++p) {
    const int64_t begin = row + p * kPanelRows, rows = task.rows - begin;
    const auto mask = static_cast<__mmask16>(rows >= kPanelRows ? 0xffff : (1u << rows) - 1);
    const __m512 bias = task.bias != nullptr ? _mm512_maskz_loadu_ps(mask, task.bias + begin) : _mm512_setzero_ps();
    for (int64_t t = 0; t < tokens; ++t) {
      __m512 sum = _mm512_load_ps(sums[p + 2 * (t / kTokens)][t % kTokens]);
      if (task.bias != nullptr) sum = _mm512_add_ps(sum, bias);
      _mm512_mask_storeu_ps(task.y + (token + t) * task.y_stride + begin, mask, sum);
    }
  }
}

template <int kPanels>
void rows_of(const DotTask& task, int64_t row) {
  for (int64_t token = 0; token < task.tokens; token += 2 * kTokens) {
    const int64_t left = task.tokens - token;
    if (left > kTokens) {
      block<kPanels, 2>(task, row, token, left < 2 * kTokens ? left : 2 * kTokens);
    } else {
      block<kPanels, 1>(task, row, token, left);
    }
  }
}

}  // namespace

void bf16_panel_dot_amx(const DotTask& task) {
  int64_t row = 0;
  for (; row + kPanelRows < task.rows; row += 2 * kPanelRows) rows_of<2>(task, row);
  for (; row < task.rows; row += kPanelRows) rows_of<1>(task, row);
  _tile_release();
}

// Token after token, rounded to the nearest, half to even; an odd last column is followed by zero.
void round_to_bf16_amx(const TileTask& task) {
  const int64_t columns = task.columns + task.columns % 2;
  for (int64_t t = 0; t < task.tokens; ++t) {
    const float* x = task.x + t * task.x_stride;
    auto* out = static_cast<std::byte*>(task.out) + t * task.stride * 2;
    for (int64_t at = 0; at < columns; at += 16) {
      const int64_t some = columns - at < 16 ? columns - at : 16, there = task.columns - at < some ? some - 1 : some;
      const __m512 values = _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << there) - 1), x + at);
      const __m256bh rounded = _mm512_cvtneps_pbh(values);
      std::memcpy(out + 2 * at, &rounded, static_cast<size_t>(some) * 2);
    }
  }
}

}  // namespace ferrum
