#include "backend/cuda/device/open.h"

namespace ferrum::cuda {

Result<OpenDevice> open_cuda_device() {
  return unsupported("this build has no CUDA kernels; configure with -DFERRUM_CUDA=ON, or use backend 'cpu'");
}

bool compiled_with_cuda() { return false; }

}  // namespace ferrum::cuda
