// The same as group_dot.h on levels that add products of bytes by pairs to 16 bits: as many as these hold are added up
// there, before they are widened.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/panel_formats.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr bool kLargestMatters = true;

constexpr int whole_log2(int x) { return x > 1 ? 1 + whole_log2(x / 2) : 0; }

template <typename Format>
struct GroupDot {
  // Weights that leave room for one pair only may as well have a sign: |w| <= 128 and |x| <= 127 fit.
  static constexpr bool kSigned = Format::kLargest > 127;
  static_assert(!kSigned || Format::kBias == 0);
  static constexpr int kRoom = 32767 / (2 * 127 * Format::kLargest), kQuadsOfGroup = Format::kWidth / 4;
  static constexpr int kRun = kSigned ? 1 : 1 << whole_log2(kRoom < kQuadsOfGroup ? kRoom : kQuadsOfGroup);

  FERRUM_MEMBER static Bytes prepare(Bytes q) { return q; }
  FERRUM_MEMBER void begin(const int32_t*) {}
  FERRUM_MEMBER void add(int quad, Bytes w, Bytes x) {
    const Pairs products = kSigned ? signed_pair_products(w, x) : pair_products(w, x);
    pairs = quad % kRun == 0 ? products : plus(pairs, products);
    if constexpr (kRun > 1) opaque(pairs);  // or the compiler makes all products first, and spills them
    if (quad % kRun != kRun - 1) return;
    sum = quad < kRun ? sums_of(pairs) : plus(sum, sums_of(pairs));
    opaque(sum);
  }
  FERRUM_MEMBER I32 end(const int32_t* start) const { return plus(sum, first(start)); }

  // kSumStart less what the weights' bias adds; both terms of `start`, kSumStart - 128 * (sum of x), divide evenly.
  FERRUM_MEMBER static I32 first(const int32_t* start) {
    if constexpr (Format::kBias == 0) return sum_from(kSumStart);
    constexpr int kShift = 7 - whole_log2(Format::kBias);
    return plus(shift_right<kShift>(sum_from(*start)), sum_from(kSumStart - (kSumStart >> kShift)));
  }

  Pairs pairs;
  I32 sum;
};

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
