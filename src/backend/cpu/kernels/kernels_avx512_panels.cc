#define FERRUM_ISA_NAMESPACE cpu_avx512
#include "backend/cpu/kernels/vec_avx512.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/panel_dot.h"
