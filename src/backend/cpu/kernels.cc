#include "backend/cpu/kernels.h"

#include "base/check.h"

namespace ferrum {

extern const Kernels kKernels_baseline;
#if defined(__x86_64__)
extern const Kernels kKernels_avx2;
extern const Kernels kKernels_avx512;
#endif

const Kernels& cpu_kernels(CpuIsa isa) {
  FERRUM_CHECK(cpu_isa_available(isa), "kernels of an instruction set that this machine lacks");
#if defined(__x86_64__)
  if (isa == CpuIsa::kAvx512) return kKernels_avx512;
  if (isa == CpuIsa::kAvx2) return kKernels_avx2;
#endif
  return kKernels_baseline;
}

}  // namespace ferrum
