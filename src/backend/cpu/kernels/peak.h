// Multiply-adds on registers and nothing else, for measuring what the machine can do (backend/peak_rates.h).
//
// All operands are 1, so that the sums are the number of multiply-adds: what is returned was computed, not assumed.
#pragma once

#include "backend/cpu/kernels.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

// Independent sums, enough to hide the latency of a multiply-add without leaving the registers.
constexpr int kPeakChains = kManyRegisters ? 12 : 4;

// Of the 16 lanes, whatever registers they are in.
template <typename Lane, typename Vector>
FERRUM_INLINE double lanes_of(const Vector& x) {
  static_assert(sizeof(Vector) == 16 * sizeof(Lane));
  Lane lanes[16];
  std::memcpy(lanes, &x, sizeof lanes);
  double total = 0;
  for (Lane lane : lanes) total += static_cast<double>(lane);
  return total;
}

#if defined(FERRUM_SUMS_OF_PAIRS)
// As group_dot_pairs.h does with the smallest weights: eight in 16 bits, then 32.
FERRUM_INLINE I32 add_round(I32 sum, Bytes w, Bytes& x) {
  Pairs pairs = pair_products(w, x);
  for (int i = 1; i < 8; ++i) {
    opaque(x);  // or the products would be computed once
    pairs = plus(pairs, pair_products(w, x));
  }
  return plus(sum, sums_of(pairs));
}
#else
FERRUM_INLINE I32 add_round(I32 sum, Bytes w, Bytes& x) { return dot_onto(sum, w, x); }
#endif

static double peak_int8(int64_t rounds) {
  const Bytes w = fill(1);
  Bytes x = fill(1);
  I32 sums[kPeakChains];
  for (I32& sum : sums) sum = dot_unsigned(fill(0), x);
  for (int64_t round = 0; round < rounds; ++round) {
    for (I32& sum : sums) {
      opaque(x);
      sum = add_round(sum, w, x);
    }
  }
  double total = 0;
  for (const I32& sum : sums) total += lanes_of<int32_t>(sum);
  return total;
}

static double peak_f32(int64_t rounds) {
  const F32 w = set1(1.0f);
  F32 x = set1(1.0f);
  F32 sums[kPeakChains];
  for (F32& sum : sums) sum = zero();
  for (int64_t round = 0; round < rounds; ++round) {
    for (F32& sum : sums) {
      opaque(x);
#if defined(__FMA__)
      sum = fma(w, x, sum);
#else
      sum = add(sum, mul(w, x));  // fma() is a call of the C library on this level
#endif
    }
  }
  double total = 0;
  for (const F32& sum : sums) total += lanes_of<float>(sum);
  return total;
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
