// Some columns of a few panels, unpacked: what many tokens are multiplied with.
#pragma once

#include "backend/cpu/kernels/panel_group.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kRangeColumns = 512;  // at most
constexpr int kFewTokens = 64;  // which meet fewer columns at a time, so that reading, unpacking and computing overlap
constexpr int kFewColumns = 256;
constexpr int kPassTokens = 264;  // whose running sums live on the stack

// Columns of one panel: quads of four, scales and offsets by groups.
struct UnpackedRange {
  alignas(64) std::byte q[kRangeColumns / 4][64];
  alignas(64) float scale[kRangeColumns / 16][kPanelRows];
  alignas(64) float less[kRangeColumns / 16][kPanelRows];
  alignas(64) float offset[kRangeColumns / 16][kPanelRows];
};

using RunningSums = float[kPassTokens][kPanelRows];

// Some tokens of a pass with one range of columns.
struct RangeTask {
  const UnpackedRange* panels = nullptr;
  RunningSums* sums = nullptr;  // by panel
  const ActBlock* x = nullptr;  // of the first token, at the range
  int64_t x_stride = 0;
  int columns = 0;
  // What is unpacked next is fetched while the first tokens are multiplied: so many bytes per panel and group.
  const std::byte* next[kTilePanels] = {};
  size_t next_bytes = 0;
  // With the last range of columns: what wants the results, for the rows of the first panel and the first token.
  const DotTask* results = nullptr;
  int64_t row = 0, token = 0;
};

// Formats that are alike in all that the products of unpacked weights see share their code.
template <int kTheWidth, bool kTheOffset, bool kShort, int kTheBias, int kTheLargest>
struct UnpackedFormatOf {
  static constexpr int kWidth = kTheWidth, kBias = kTheBias, kLargest = kTheLargest;
  static constexpr bool kOffset = kTheOffset, kShortScale = kShort;
};
template <typename Format>
using UnpackedFormat = UnpackedFormatOf<Format::kWidth, Format::kOffset, Format::kShortScale,
                                        kLargestMatters ? Format::kBias : 0, kLargestMatters ? Format::kLargest : 255>;

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
