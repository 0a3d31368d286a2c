#include "backend/cuda/kernels/kv.cuh"

#include "backend/cuda/device/groups.h"

namespace ferrum::cuda::device {

KvKernels kv_on_device() { return kv_kernels(); }

}  // namespace ferrum::cuda::device
