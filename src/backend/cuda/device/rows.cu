#include "backend/cuda/device/groups.h"
#include "backend/cuda/kernels/rows.cuh"

namespace ferrum::cuda::device {

RowKernels rows_on_device() { return row_kernels(); }

}  // namespace ferrum::cuda::device
