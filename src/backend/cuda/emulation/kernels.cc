// Every kernel, compiled for the host.
#include "backend/cuda/kernels/experts.cuh"
#include "backend/cuda/kernels/kv.cuh"
#include "backend/cuda/kernels/linear.cuh"
#include "backend/cuda/kernels/rows.cuh"
#include "backend/cuda/kernels/table.h"

namespace ferrum::cuda::emulated {

KernelTable kernels() { return {row_kernels(), kv_kernels(), linear_kernels(), expert_kernels()}; }

}  // namespace ferrum::cuda::emulated
