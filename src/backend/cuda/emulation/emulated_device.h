// A Device for tests: its memory is hidden from the host, and its kernels run through the emulator, at once.
#pragma once

#include <memory>

#include "backend/cuda/device.h"

namespace ferrum::cuda {

std::unique_ptr<Device> make_emulated_device();

}  // namespace ferrum::cuda
