// What all products of panels (cpu/panels.h) share: the order of float arithmetic of one result, the same for one token
// and for many. Groups of 32 columns, 16 where the format has a scale for each 16, in ascending order:
//   sum = fma(float(dot) * scale, d of the activations, sum)      the product is rounded
//   sum = fma(offset, sum of the activations, sum)              formats with an offset
// and the bias last. Dot products are integers and exact, so how a level adds them does not matter.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/panel_formats.h"
#if defined(FERRUM_SUMS_OF_PAIRS)
#include "backend/cpu/kernels/group_dot_pairs.h"
#else
#include "backend/cpu/kernels/group_dot.h"
#endif

namespace ferrum::FERRUM_ISA_NAMESPACE {

// What one group of columns is multiplied with, for one token.
struct GroupActivations {
  const int8_t* q;
  const float* d;
  const float* sum;
  const int32_t* start;
};

// Group `g` of the 256 columns of `x`.
template <int kWidth>
FERRUM_INLINE GroupActivations activations_of(const ActBlock* x, int64_t g) {
  if constexpr (kWidth == 16) return {x->q + 16 * g, x->d + g / 2, x->sum16 + g, x->start16 + g};
  return {x->q + 32 * g, x->d + g, x->sum32 + g, x->start32 + g};
}

// The factors of a group: `less` is what takes kSumStart off a sum again.
struct GroupScales {
  F32 scale, less, offset;
};

// With a short scale, scale * kSumStartValue is exact: one fused operation then makes a float of the sum, multiplies it
// and takes the start off, and rounds what float(dot) * scale rounds.
template <typename Format>
FERRUM_INLINE F32 less_for(F32 scale) {
  return Format::kShortScale ? mul(scale, set1(-kSumStartValue)) : scale;
}

template <typename Format>
FERRUM_INLINE F32 add_group(F32 sum, I32 dot, const GroupScales& w, const GroupActivations& x) {
  const F32 value = bits_as_float(dot);
  const F32 product =
      Format::kShortScale ? fma(value, w.scale, w.less) : mul(sub(value, set1(kSumStartValue)), w.scale);
  sum = fma(product, set1(*x.d), sum);
  if constexpr (Format::kOffset) sum = fma(w.offset, set1(*x.sum), sum);
  return sum;
}

// 32 columns of a block as GroupDot wants them.
template <typename Format, int kAt>
FERRUM_INLINE void unpack_32(const std::byte* block, Bytes* q) {
  Format::template quads<kAt>(block, q);
  for (int j = 0; j < kQuads; ++j) q[j] = GroupDot<Format>::prepare(q[j]);
}

template <typename Format>
constexpr size_t kBlockBytes = kPanelRows * sizeof(typename Format::Block);

// One panel's rows of a task, of which its last panel may have fewer than 16.
FERRUM_INLINE void store_rows(const DotTask& task, int64_t row, int64_t token, F32 sum) {
  float* y = task.y + token * task.y_stride + row;
  const float* bias = task.bias != nullptr ? task.bias + row : nullptr;
  if (task.rows - row >= kPanelRows) {
    store(y, bias != nullptr ? add(sum, load(bias)) : sum);
    return;
  }
  float some[kPanelRows];
  store(some, sum);
  for (int64_t r = 0; r < task.rows - row; ++r) y[r] = bias != nullptr ? some[r] + bias[r] : some[r];
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
