#include "backend/cpu/kernels.h"

#include "base/check.h"

namespace ferrum {

extern const Kernels kKernels_baseline;
#if defined(__x86_64__)
extern const Kernels kKernels_avx2;
#if defined(FERRUM_BUILD_AVX512)
extern const Kernels kKernels_avx512;
double peak_bf16_avx512(int64_t rounds);
#endif
#elif defined(__aarch64__)
extern const Kernels kKernels_neon;
#endif

const Kernels& cpu_kernels(CpuIsa isa) {
  FERRUM_CHECK(cpu_isa_available(isa), "kernels of an instruction set that this machine lacks");
#if defined(__x86_64__)
#if defined(FERRUM_BUILD_AVX512)
  if (isa == CpuIsa::kAvx512) return kKernels_avx512;
#endif
  if (isa == CpuIsa::kAvx2) return kKernels_avx2;
#elif defined(__aarch64__)
  if (isa == CpuIsa::kNeon) return kKernels_neon;
#endif
  return kKernels_baseline;
}

Kernels::Peak cpu_peak_bf16() {
#if defined(FERRUM_BUILD_AVX512)
  if (cpu_isa_available(CpuIsa::kAvx512) && __builtin_cpu_supports("avx512bf16") != 0) return peak_bf16_avx512;
#endif
  return nullptr;
}

}  // namespace ferrum
