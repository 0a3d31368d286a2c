// The little that backend "cuda" asks of a device. Two exist: the CUDA runtime (device/) and, for tests, the emulator
// (emulation/). Everything is queued on one stream, in order; used by one thread.
#pragma once

#include <memory>
#include <string>

#include "backend/cuda/launch.h"
#include "base/status.h"
#include "tensor/view.h"

namespace ferrum::cuda {

// Bytes that an array takes in memory that it shares with others: what vector loads and a warp's reads in a row ask
// for, and more.
constexpr size_t aligned_on_device(size_t bytes) { return (bytes + 255) / 256 * 256; }

struct DeviceFacts {
  std::string name;            // "NVIDIA H200"
  int compute_capability = 0;  // major * 10 + minor
  int multiprocessors = 0;
  int64_t shared_bytes_per_block = 0;  // the most a launch may ask for
  int64_t memory_bytes = 0;            // all it has, free or not
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceFacts& facts() const = 0;

  // Zeroed memory of the device, aligned to 256 bytes. kCapacity when there is none left.
  virtual Result<Buffer> allocate(size_t bytes) = 0;
  // Page-locked host memory, which copies read and write without a detour.
  virtual Result<Buffer> allocate_pinned(size_t bytes) = 0;

  // Queued. The host side of a copy must stay as it is until synchronize(); pageable memory may block.
  virtual Status copy_to_device(void* device, const void* host, size_t bytes) = 0;
  virtual Status copy_to_host(void* host, const void* device, size_t bytes) = 0;
  virtual Status copy_on_device(void* to, const void* from, size_t bytes) = 0;
  // kInternal with the kernel's name where the launch is refused (shape, shared memory) or the kernel broke a rule.
  virtual Status launch(const KernelEntry& kernel, const LaunchShape& shape, const void* args, size_t args_bytes) = 0;
  // Waits for all of the above. What went wrong on the device shows here at the latest.
  virtual Status synchronize() = 0;
};

// Memory of the device that holds what lies at `host`; it is there when this returns.
inline Result<Buffer> copy_of(Device& device, const void* host, size_t bytes) {
  FERRUM_ASSIGN_OR_RETURN(Buffer buffer, device.allocate(bytes));
  FERRUM_RETURN_IF_ERROR(device.copy_to_device(buffer.data(), host, bytes));
  FERRUM_RETURN_IF_ERROR(device.synchronize());
  return buffer;
}

}  // namespace ferrum::cuda
