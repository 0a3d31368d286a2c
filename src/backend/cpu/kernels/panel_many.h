// Panels times many tokens: a range of some panels' columns is unpacked once, then meets all tokens of a pass.
#pragma once

#include "backend/cpu/kernels/panel_vectors.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

// The rest of a block from 32 columns number kAt on.
template <typename Format, int kAt = 0>
FERRUM_INLINE void unpack_block(const std::byte* block, std::byte (*to)[64]) {
  Bytes q[kQuads];
  unpack_32<Format, kAt>(block, q);
  for (int j = 0; j < kQuads; ++j) store64(to[kAt * kQuads + j], q[j]);
  if constexpr (kAt + 1 < Format::kThirtyTwos) unpack_block<Format, kAt + 1>(block, to);
}

template <typename Format>
FERRUM_INLINE void unpack_range(const std::byte* w, int columns, UnpackedRange& range) {
  constexpr int kColumns = 32 * Format::kThirtyTwos, kScales = kColumns / Format::kWidth;
  for (int at = 0; at < columns; at += kColumns, w += kBlockBytes<Format>) {
    const int first = at / Format::kWidth;
    Format::scales(w, {range.scale + first, range.offset + first});
    if constexpr (Format::kShortScale) {
      for (int g = first; g < first + kScales; ++g) store(range.less[g], less_for<Format>(load(range.scale[g])));
    }
    unpack_block<Format>(w, range.q + at / 4);
  }
}

template <typename Format, int kPanels>
static void pass_over_panels(const DotTask& task, int64_t row, int64_t token, int64_t tokens) {
  using Unpacked = UnpackedFormat<Format>;
  const int64_t columns = tokens <= kFewTokens ? kFewColumns : kRangeColumns;
  UnpackedRange ranges[kPanels];
  alignas(64) RunningSums sums[kPanels];
  for (RunningSums& of_panel : sums) std::memset(of_panel, 0, static_cast<size_t>(tokens) * sizeof of_panel[0]);
  for (int64_t at = 0; at < task.columns; at += columns) {
    RangeTask range;
    range.panels = ranges;
    range.sums = sums;
    range.x = static_cast<const ActBlock*>(task.x) + token * task.x_stride + at / 256;
    range.x_stride = task.x_stride;
    range.columns = static_cast<int>(task.columns - at < columns ? task.columns - at : columns);
    range.next_bytes = kBlockBytes<Format> * Format::kWidth / (32 * Format::kThirtyTwos);
    for (int64_t p = 0; p < kPanels; ++p) {
      const std::byte* panel = task.weights + static_cast<size_t>(row + p * kPanelRows) * task.row_bytes;
      const auto place = [panel](int64_t column) {
        return panel + static_cast<size_t>(column / 32 / Format::kThirtyTwos) * kBlockBytes<Format>;
      };
      unpack_range<Format>(place(at), range.columns, ranges[p]);
      // The next panels come after these.
      range.next[p] = at + columns < task.columns ? place(at + columns) : panel + kPanels * kPanelRows * task.row_bytes;
    }
    if (at + columns >= task.columns) range.results = &task;
    range.row = row;
    range.token = token;
    range_times_tokens<Unpacked, kPanels>(range, tokens);
  }
}

template <typename Format>
FERRUM_INLINE void panels_of_many(const DotTask& task) {
  for (int64_t token = 0; token < task.tokens; token += kPassTokens) {
    const int64_t left = task.tokens - token, tokens = left < kPassTokens ? left : kPassTokens;
    int64_t row = 0;
    // The last panel may lack rows.
    for (; row + (kTilePanels - 1) * kPanelRows < task.rows; row += kTilePanels * kPanelRows) {
      pass_over_panels<Format, kTilePanels>(task, row, token, tokens);
    }
    if constexpr (kTilePanels > 1) {
      if (row < task.rows) pass_over_panels<Format, 1>(task, row, token, tokens);
    }
  }
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
