#define FERRUM_ISA_NAMESPACE cpu_baseline
#include "backend/cpu/kernels/vec_generic.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/panel_dot.h"
