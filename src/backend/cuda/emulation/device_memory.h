// Memory of the emulated device. On a GPU the host cannot touch it, so here it cannot either: a read or a write of host
// code is a segmentation fault, but while the device works.
//
// Under AddressSanitizer it is ordinary memory, whose ends that watches.
#pragma once

#include <cstddef>

#include "base/status.h"
#include "tensor/view.h"

namespace ferrum::cuda::emulation {

Result<Buffer> allocate_device_memory(size_t bytes);

// The device works as long as this lives. From any thread; the memory of all emulated devices is one.
class DeviceWorks {
 public:
  DeviceWorks();
  ~DeviceWorks();
  DeviceWorks(const DeviceWorks&) = delete;
  DeviceWorks& operator=(const DeviceWorks&) = delete;
};

}  // namespace ferrum::cuda::emulation
