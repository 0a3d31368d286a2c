// An unpacked range times tokens in vector registers: a few tokens of a panel or two share the loads of weights, the
// panels those of activations.
#pragma once

#include "backend/cpu/kernels/panel_range.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

// One group of columns, with the 256 columns of kTokens tokens that hold its activations: group `g` of each.
template <typename Format, int kPanels, int kTokens>
FERRUM_INLINE void add_unpacked_group(const RangeTask& task, int64_t first, const ActBlock* const* x, int64_t g,
                                      F32 (*sums)[kTokens]) {
  constexpr int kGroupQuads = Format::kWidth / 4;
  const int64_t at = first + g;
  GroupDot<Format> dots[kPanels][kTokens];
  // Unrolled by force: the compiler keeps an array in registers only if it sees constant indices early.
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) dots[p][t].begin(activations_of<Format::kWidth>(x[t], g).start);
  }
#pragma GCC unroll 8
  for (int j = 0; j < kGroupQuads; ++j) {
    Bytes w[kPanels];
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) w[p] = load64(task.panels[p].q[at * kGroupQuads + j]);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const int8_t* q = activations_of<Format::kWidth>(x[t], g).q + 4 * j;
#pragma GCC unroll 2
      for (int p = 0; p < kPanels; ++p) dots[p][t].add(j, w[p], broadcast4(q));
    }
  }
#pragma GCC unroll 2
  for (int p = 0; p < kPanels; ++p) {
    const UnpackedRange& w = task.panels[p];
    GroupScales scales;
    scales.scale = load(w.scale[at]);
    if constexpr (Format::kShortScale) scales.less = load(w.less[at]);
    if constexpr (Format::kOffset) scales.offset = load(w.offset[at]);
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) {
      const GroupActivations a = activations_of<Format::kWidth>(x[t], g);
      sums[p][t] = add_group<Format>(sums[p][t], dots[p][t].end(a.start), scales, a);
    }
  }
}

template <int kPanels>
FERRUM_INLINE void fetch_next(const RangeTask& task, int64_t group) {
  for (int p = 0; p < kPanels; ++p) {
    const std::byte* next = task.next[p] + static_cast<size_t>(group) * task.next_bytes;
    for (size_t at = 0; at < task.next_bytes; at += 64) __builtin_prefetch(next + at);
  }
}

// Results of neighbouring tokens lie far apart, often in one set of the caches: what a tile writes is fetched when it
// begins and written when it ends, while it is still there.
template <int kPanels, int kTokens>
FERRUM_INLINE void fetch_results(const RangeTask& task, int64_t token) {
  const float* y = task.results->y + (task.token + token) * task.results->y_stride + task.row;
  for (int t = 0; t < kTokens; ++t, y += task.results->y_stride) {
    for (int p = 0; p < kPanels; ++p) __builtin_prefetch(y + p * kPanelRows, 1);
  }
}

// The activations of the next tile of tokens, as many of their cache lines with each group as it takes.
template <typename Format, int kTokens>
FERRUM_INLINE void fetch_activations(const ActBlock* const* x, int64_t next_tile, int64_t g) {
  constexpr int kLines = static_cast<int>(sizeof(ActBlock)) / 64, kGroups = 256 / Format::kWidth;
  if (kGroups > kLines && g % (kGroups / kLines) != 0) return;
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
    __builtin_prefetch(reinterpret_cast<const std::byte*>(x[t] + next_tile) + 64 * (g * kLines / kGroups));
  }
}

template <typename Format, int kPanels, int kTokens>
static void tile_of_range(const RangeTask& task, int64_t token) {
  constexpr int kPerBlock = 256 / Format::kWidth;
  if (task.results != nullptr) fetch_results<kPanels, kTokens>(task, token);
  F32 sums[kPanels][kTokens];
  const ActBlock* x[kTokens];
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) sums[p][t] = load(task.sums[p][token + t]);
    x[t] = task.x + (token + t) * task.x_stride;
  }
  const int64_t groups = task.columns / Format::kWidth, next_tile = kTokens * task.x_stride;
  for (int64_t first = 0; first < groups; first += kPerBlock) {
    const int64_t some = groups - first < kPerBlock ? groups - first : kPerBlock;
    for (int64_t g = 0; g < some; ++g) {
      if (task.next_bytes > 0) fetch_next<kPanels>(task, first + g);
      fetch_activations<Format, kTokens>(x, next_tile, g);
      add_unpacked_group<Format, kPanels, kTokens>(task, first, x, g, sums);
    }
#pragma GCC unroll 8
    for (int t = 0; t < kTokens; ++t) ++x[t];
  }
#pragma GCC unroll 8
  for (int t = 0; t < kTokens; ++t) {
#pragma GCC unroll 2
    for (int p = 0; p < kPanels; ++p) {
      if (task.results != nullptr) {
        store_rows(*task.results, task.row + p * kPanelRows, task.token + token + t, sums[p][t]);
      } else {
        store(task.sums[p][token + t], sums[p][t]);
      }
    }
  }
}

template <typename Format, int kPanels, int kTokens>
FERRUM_INLINE void tiles_of_range(RangeTask& task, int64_t& token, int64_t tokens) {
  for (; token + kTokens <= tokens; token += kTokens) {
    tile_of_range<Format, kPanels, kTokens>(task, token);
    task.next_bytes = 0;
  }
}

template <typename Format, int kPanels>
static void range_times_tokens(RangeTask task, int64_t tokens) {
  int64_t t = 0;
  tiles_of_range<Format, kPanels, kTileTokens>(task, t, tokens);
  if constexpr (kTileTokens > 6) tiles_of_range<Format, kPanels, 6>(task, t, tokens);
  if constexpr (kTileTokens > 4) tiles_of_range<Format, kPanels, 4>(task, t, tokens);
  if constexpr (kTileTokens > 2) tiles_of_range<Format, kPanels, 2>(task, t, tokens);
  tiles_of_range<Format, kPanels, 1>(task, t, tokens);
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
