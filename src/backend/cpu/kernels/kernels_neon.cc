#define FERRUM_ISA_NAMESPACE cpu_neon
#include "backend/cpu/kernels/vec_generic.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/table.h"

namespace ferrum {

extern const Kernels kKernels_neon;
constinit const Kernels kKernels_neon = cpu_neon::make_kernels();

}  // namespace ferrum
