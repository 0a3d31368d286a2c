// Stored matrices in the memory of a device, as the kernels of kernels/linear.h read them: those of integers repacked.
#pragma once

#include <vector>

#include "backend/cuda/device.h"
#include "backend/cuda/kernels/linear.h"
#include "ops/linear.h"

namespace ferrum::cuda {

// Matrices that lie in one piece of device memory.
struct DeviceMatrices {
  Buffer buffer;
  std::vector<StoredMatrix> matrices;
};

// Copies them, and their biases; done when this returns. The matrices must be valid. kCapacity where the device has no
// memory left; messages name the first tensor.
Result<DeviceMatrices> copy_matrices(Device& device, const std::vector<WeightRef>& weights);

// Bytes of device memory that one of them takes, without its bias.
int64_t matrix_bytes(DType dtype, int64_t rows, int64_t columns);

}  // namespace ferrum::cuda
