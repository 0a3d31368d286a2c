#include "backend/cuda/kernels/experts.cuh"

#include "backend/cuda/device/groups.h"

namespace ferrum::cuda::device {

ExpertKernels experts_on_device() { return expert_kernels(); }

}  // namespace ferrum::cuda::device
