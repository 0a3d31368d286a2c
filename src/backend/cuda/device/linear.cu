#include "backend/cuda/kernels/linear.cuh"

#include "backend/cuda/device/groups.h"

namespace ferrum::cuda::device {

LinearKernels linear_on_device() { return linear_kernels(); }

}  // namespace ferrum::cuda::device
