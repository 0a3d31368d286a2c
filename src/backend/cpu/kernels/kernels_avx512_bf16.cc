// The dot product of BF16 pairs, vdpbf16ps: only its speed is asked for. Matrices are not multiplied with it, because
// it rounds differently from every other level (docs/backends.md).
#include <immintrin.h>

#include "backend/cpu/kernels.h"

namespace ferrum {

double peak_bf16_avx512(int64_t rounds);  // declared where it is chosen, in kernels.cc

double peak_bf16_avx512(int64_t rounds) {
  constexpr int kChains = 12;
  const __m512i w = _mm512_set1_epi16(0x3f80);  // 1.0
  __m512i x = w;
  __m512 sums[kChains];
  for (__m512& sum : sums) sum = _mm512_setzero_ps();
  for (int64_t round = 0; round < rounds; ++round) {
    for (__m512& sum : sums) {
      asm volatile("" : "+v"(x));
      sum = _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(x));
    }
  }
  double total = 0;
  for (const __m512& sum : sums) {
    float lanes[16];
    _mm512_storeu_ps(lanes, sum);
    for (float lane : lanes) total += static_cast<double>(lane);
  }
  return total;
}

}  // namespace ferrum
