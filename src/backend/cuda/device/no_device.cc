#include "backend/cuda/device/open.h"

namespace ferrum::cuda {

Result<DeviceFacts> find_cuda_device() {
  return unsupported("this build has no CUDA kernels; configure with -DFERRUM_CUDA=ON, or use backend 'cpu'");
}

Result<OpenDevice> open_cuda_device() { return find_cuda_device().status(); }

bool compiled_with_cuda() { return false; }

}  // namespace ferrum::cuda
