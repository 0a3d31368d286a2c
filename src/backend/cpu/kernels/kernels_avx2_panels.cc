#define FERRUM_ISA_NAMESPACE cpu_avx2
#include "backend/cpu/kernels/vec_avx2.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/panel_dot.h"
