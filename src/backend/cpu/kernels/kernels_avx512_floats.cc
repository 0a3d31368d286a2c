#define FERRUM_ISA_NAMESPACE cpu_avx512
#include "backend/cpu/kernels/vec_avx512.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/plain.h"

namespace ferrum::cpu_avx512 {

FERRUM_INLINE void load_bf16_pairs(const void* p, F32& low, F32& high) {
  const __m512i pairs = _mm512_loadu_si512(p);
  low = {_mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16))};
  high = {_mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32(static_cast<int>(0xffff0000u))))};
}

}  // namespace ferrum::cpu_avx512

#include "backend/cpu/kernels/float_panels.h"

namespace ferrum {

extern const FloatKernels kFloatKernels_avx512;
constinit const FloatKernels kFloatKernels_avx512 = cpu_avx512::make_float_kernels();

}  // namespace ferrum
