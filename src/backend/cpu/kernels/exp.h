// Rounding and exp in 16 lanes.
#pragma once

namespace ferrum::FERRUM_ISA_NAMESPACE {

// The nearest integer, half to even, of a magnitude below 2^22.
FERRUM_INLINE F32 round_to_integer(F32 x) {
  const F32 magic = set1(12582912.0f);  // 1.5 * 2^23: a sum of this size has no room for a fraction
  return sub(add(x, magic), magic);
}

// exp(x): reduction to |r| <= ln(2) / 2 and the degree-7 minimax polynomial of Cephes' expf (S. Moshier).
//
// Within 2 units in the last place of the exact value where that is a normal float, within one step of the subnormals
// below; 0 below about -104, infinity above about 88.73, NaN stays NaN. kernels_test.cc checks this against std::exp.
FERRUM_INLINE F32 exp(F32 x) {
  // greater() and lesser() return their second operand when it is NaN.
  x = lesser(set1(89.0f), greater(set1(-104.0f), x));
  const F32 n = round_to_integer(mul(x, set1(1.44269504088896341f)));
  // ln(2) in two parts, the first short enough for n times it to be exact.
  const F32 r = sub(sub(x, mul(n, set1(0.693359375f))), mul(n, set1(-2.12194440e-4f)));
  F32 p = set1(1.9875691500e-4f);
  p = add(mul(p, r), set1(1.3981999507e-3f));
  p = add(mul(p, r), set1(8.3334519073e-3f));
  p = add(mul(p, r), set1(4.1665795894e-2f));
  p = add(mul(p, r), set1(1.6666665459e-1f));
  p = add(mul(p, r), set1(5.0000001201e-1f));
  p = add(add(mul(p, mul(r, r)), r), set1(1.0f));
  // 2^n in two factors: n reaches beyond a float's exponents at both ends, where the second factor overflows or rounds
  // to a subnormal as it should.
  const F32 half = round_to_integer(mul(n, set1(0.5f)));
  return mul(mul(p, power_of_two(half)), power_of_two(sub(n, half)));
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
