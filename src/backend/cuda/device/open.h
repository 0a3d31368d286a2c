// The machine's CUDA device, where this build has one in it.
#pragma once

#include <memory>

#include "backend/cuda/device.h"
#include "backend/cuda/kernels/table.h"

namespace ferrum::cuda {

struct OpenDevice {
  std::unique_ptr<Device> device;
  KernelTable kernels;
};

// kUnsupported, saying why: built without CUDA, no driver, none that is new enough, no device, one below sm_80.
Result<OpenDevice> open_cuda_device();
// The device that it would open, of which nothing is taken; errors as there.
Result<DeviceFacts> find_cuda_device();

// Whether open_cuda_device() can succeed on some machine.
bool compiled_with_cuda();

}  // namespace ferrum::cuda
