#define FERRUM_ISA_NAMESPACE cpu_avx2
#include "backend/cpu/kernels/vec_avx2.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/plain.h"

namespace ferrum::cpu_avx2 {

FERRUM_INLINE void load_bf16_pairs(const void* p, F32& low, F32& high) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xffff0000u));
  const auto* halves = static_cast<const __m256i*>(p);
  const __m256i a = _mm256_loadu_si256(halves), b = _mm256_loadu_si256(halves + 1);
  low = {_mm256_castsi256_ps(_mm256_slli_epi32(a, 16)), _mm256_castsi256_ps(_mm256_slli_epi32(b, 16))};
  high = {_mm256_castsi256_ps(_mm256_and_si256(a, upper)), _mm256_castsi256_ps(_mm256_and_si256(b, upper))};
}

}  // namespace ferrum::cpu_avx2

#include "backend/cpu/kernels/float_panels.h"

namespace ferrum {

extern const FloatKernels kFloatKernels_avx2;
constinit const FloatKernels kFloatKernels_avx2 = cpu_avx2::make_float_kernels();

}  // namespace ferrum
