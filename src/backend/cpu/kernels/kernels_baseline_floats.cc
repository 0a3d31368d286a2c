#define FERRUM_ISA_NAMESPACE cpu_baseline
#include "backend/cpu/kernels/vec_generic.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/plain.h"

namespace ferrum::cpu_baseline {

FERRUM_INLINE void load_bf16_pairs(const void* p, F32& low, F32& high) {
  typedef uint32_t U32x4 __attribute__((vector_size(16)));
  const auto* bytes = static_cast<const std::byte*>(p);
  for (int i = 0; i < 4; ++i) {
    const auto pairs = load_vector<U32x4>(bytes + 16 * i);
    low.v[i] = reinterpret_cast<F32x4>(pairs << 16);
    high.v[i] = reinterpret_cast<F32x4>(pairs & 0xffff0000u);
  }
}

}  // namespace ferrum::cpu_baseline

#include "backend/cpu/kernels/float_panels.h"

namespace ferrum {

extern const FloatKernels kFloatKernels_baseline;
constinit const FloatKernels kFloatKernels_baseline = cpu_baseline::make_float_kernels();

}  // namespace ferrum
