// Panels times one token: weights are unpacked in registers, straight from memory, which is what limits them.
#pragma once

#include "backend/cpu/kernels/panel_group.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

// How far ahead of its use a panel is asked for. Processors fetch ahead by themselves, but not across pages.
constexpr size_t kAhead = 4096;

// A share of a block with each of its 32s: more at once than there are buffers for misses would have to wait.
template <typename Format, int kAt>
FERRUM_INLINE void fetch_ahead(const std::byte* block) {
  constexpr size_t kLines = (kBlockBytes<Format> + 63) / 64, kParts = Format::kThirtyTwos;
#pragma GCC unroll 16
  for (size_t line = kLines * kAt / kParts; line < kLines * (kAt + 1) / kParts; ++line) {
    __builtin_prefetch(block + kAhead + 64 * line, 0, 3);
  }
}

template <typename Format, int kAt>
FERRUM_INLINE F32 add_32(F32 sum, const std::byte* block, BlockScales s, const ActBlock* x, int first) {
  constexpr int kGroups = 32 / Format::kWidth, kPerGroup = kQuads / kGroups;
  fetch_ahead<Format, kAt>(block);
  Bytes q[kQuads];
  unpack_32<Format, kAt>(block, q);
#pragma GCC unroll 2
  for (int i = 0; i < kGroups; ++i) {
    const GroupActivations a = activations_of<Format::kWidth>(x, (first + kAt) * kGroups + i);
    GroupDot<Format> dot;
    dot.begin(a.start);
#pragma GCC unroll 8
    for (int j = 0; j < kPerGroup; ++j) dot.add(j, q[i * kPerGroup + j], broadcast4(a.q + 4 * j));
    const F32 scale = load(s.scale[kAt * kGroups + i]);
    const F32 offset = Format::kOffset ? load(s.offset[kAt * kGroups + i]) : scale;
    sum = add_group<Format>(sum, dot.end(a.start), {scale, less_for<Format>(scale), offset}, a);
  }
  return sum;
}

// A block from its 32 columns number kAt on; `first` 32s of x's 256 columns come before the block.
template <typename Format, int kAt = 0>
FERRUM_INLINE F32 add_block(F32 sum, const std::byte* block, BlockScales s, const ActBlock* x, int first) {
  sum = add_32<Format, kAt>(sum, block, s, x, first);
  if constexpr (kAt + 1 < Format::kThirtyTwos) return add_block<Format, kAt + 1>(sum, block, s, x, first);
  return sum;
}

template <typename Format>
FERRUM_INLINE void panel_of_one(const DotTask& task, int64_t row) {
  const std::byte* w = task.weights + static_cast<size_t>(row) * task.row_bytes;
  const ActBlock* x = static_cast<const ActBlock*>(task.x);
  constexpr int kScales = 32 * Format::kThirtyTwos / Format::kWidth;
  alignas(64) float scale[kScales][kPanelRows], offset[kScales][kPanelRows];
  F32 sum = zero();
  for (int64_t at = 0; at < task.columns; at += 32 * Format::kThirtyTwos, w += kBlockBytes<Format>) {
    Format::scales(w, {scale, offset});
    sum = add_block<Format>(sum, w, {scale, offset}, x + at / 256, static_cast<int>(at % 256 / 32));
  }
  store_rows(task, row, 0, sum);
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
