#include "backend/cuda/device/groups.h"

namespace ferrum::cuda::device {

KernelTable kernels() { return {rows_on_device(), kv_on_device(), linear_on_device(), experts_on_device()}; }

}  // namespace ferrum::cuda::device
