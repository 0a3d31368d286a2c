#define FERRUM_ISA_NAMESPACE cpu_neon
#include "backend/cpu/kernels/vec_generic.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/plain.h"

#include "backend/cpu/kernels/float_panels.h"

namespace ferrum {

extern const FloatKernels kFloatKernels_neon;
constinit const FloatKernels kFloatKernels_neon = cpu_neon::make_float_kernels();

}  // namespace ferrum
