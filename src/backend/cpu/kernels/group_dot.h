// The integer dot product of one group of columns in the lanes of their rows, on levels that add products of bytes to
// 32 bits in one operation.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/panel_formats.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr bool kLargestMatters = false;

// begin(), add() of quads 0, 1, ... of the group, end(): the sum from kSumStart. `start` is the group's in ActBlock.
template <typename Format>
struct GroupDot {
  static constexpr int kAdded = Format::kOffset ? 0 : kSignedAs;  // to weights, whatever their bias

  FERRUM_MEMBER static Bytes prepare(Bytes q) {
    constexpr auto less = static_cast<uint8_t>(Format::kBias - kAdded);
    return less == 0 ? q : minus(q, fill(less));
  }
  FERRUM_MEMBER void begin(const int32_t* start) { sum = sum_from(kAdded != 0 ? *start : kSumStart); }
  FERRUM_MEMBER void add(int, Bytes w, Bytes x) { sum = dot_onto(sum, w, x); }
  FERRUM_MEMBER I32 end(const int32_t*) const { return sum; }

  I32 sum;
};

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
