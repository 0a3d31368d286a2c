// The emulated device, for tests that count what is asked of it or let it fail.
#pragma once

#include "backend/cuda/emulation/emulated_device.h"

namespace ferrum::cuda {

class WrappedDevice : public Device {
 public:
  const DeviceFacts& facts() const override { return device_->facts(); }
  Result<Buffer> allocate(size_t bytes) override { return device_->allocate(bytes); }
  Result<Buffer> allocate_pinned(size_t bytes) override { return device_->allocate_pinned(bytes); }
  Status copy_to_device(void* device, const void* host, size_t bytes) override {
    return device_->copy_to_device(device, host, bytes);
  }
  Status copy_to_host(void* host, const void* device, size_t bytes) override {
    return device_->copy_to_host(host, device, bytes);
  }
  Status copy_on_device(void* to, const void* from, size_t bytes) override {
    return device_->copy_on_device(to, from, bytes);
  }
  Status launch(const KernelEntry& kernel, const LaunchShape& shape, const void* args, size_t args_bytes) override {
    return device_->launch(kernel, shape, args, args_bytes);
  }
  Status synchronize() override { return device_->synchronize(); }

 private:
  const std::unique_ptr<Device> device_ = make_emulated_device();
};

}  // namespace ferrum::cuda
