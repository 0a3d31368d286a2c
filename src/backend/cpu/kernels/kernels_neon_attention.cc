#define FERRUM_ISA_NAMESPACE cpu_neon
#include "backend/cpu/kernels/vec_generic.h"
// The vectors come first: everything else is written in them.
#include "backend/cpu/kernels/attention.h"
