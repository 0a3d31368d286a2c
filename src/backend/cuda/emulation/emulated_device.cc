#include "backend/cuda/emulation/emulated_device.h"

#include <cstring>

#include "backend/cuda/emulation/block.h"
#include "backend/cuda/emulation/device_memory.h"

namespace ferrum::cuda {
namespace {

class EmulatedDevice final : public Device {
 public:
  const DeviceFacts& facts() const override { return facts_; }
  Result<Buffer> allocate(size_t bytes) override { return emulation::allocate_device_memory(bytes); }
  Result<Buffer> allocate_pinned(size_t bytes) override { return Buffer::host(bytes); }

  Status copy_to_device(void* device, const void* host, size_t bytes) override {
    return copy_on_device(device, host, bytes);
  }
  Status copy_to_host(void* host, const void* device, size_t bytes) override {
    return copy_on_device(host, device, bytes);
  }
  Status copy_on_device(void* to, const void* from, size_t bytes) override {
    const emulation::DeviceWorks works;
    if (bytes > 0) std::memcpy(to, from, bytes);
    return Status::ok();
  }
  Status launch(const KernelEntry& kernel, const LaunchShape& shape, const void* args, size_t) override {
    const emulation::DeviceWorks works;
    return emulation::run_grid(kernel, shape, args);
  }
  Status synchronize() override { return Status::ok(); }

 private:
  // Few multiprocessors, so that schedules which depend on their number are cut up in tests as on a large device.
  const DeviceFacts facts_{"emulated GPU", 90, 4, emulation::kSharedBytes, int64_t{8} << 30};
};

}  // namespace

std::unique_ptr<Device> make_emulated_device() { return std::make_unique<EmulatedDevice>(); }

}  // namespace ferrum::cuda
