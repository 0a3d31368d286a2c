#define FERRUM_ISA_NAMESPACE cpu_baseline
#include "backend/cpu/kernels/vec_generic.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/plain.h"

#include "backend/cpu/kernels/float_panels.h"

namespace ferrum {

extern const FloatKernels kFloatKernels_baseline;
constinit const FloatKernels kFloatKernels_baseline = cpu_baseline::make_float_kernels();

}  // namespace ferrum
