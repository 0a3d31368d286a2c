#define FERRUM_ISA_NAMESPACE cpu_baseline
#include "backend/cpu/kernels/vec_generic.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/table.h"

namespace ferrum {

extern const Kernels kKernels_baseline;
constinit const Kernels kKernels_baseline = cpu_baseline::make_kernels();

}  // namespace ferrum
