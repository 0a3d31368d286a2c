// Launches kernels in order and remembers the first failure: ops return nothing, so it shows at the next download.
#pragma once

#include <memory>
#include <type_traits>

#include "backend/cuda/device.h"
#include "backend/cuda/kernels/table.h"

namespace ferrum::cuda {

class Queue {
 public:
  Queue(std::unique_ptr<Device> device, const KernelTable& kernels) : device_(std::move(device)), kernels_(kernels) {}

  Device& device() { return *device_; }
  const KernelTable& kernels() const { return kernels_; }

  // An empty grid launches nothing.
  template <typename Args>
  void launch(const Kernel<Args>& kernel, const LaunchShape& shape, const Args& args) {
    static_assert(std::is_trivially_copyable_v<Args> && sizeof(Args) <= 4096);
    if (shape.grid.count() == 0 || !status_.is_ok()) return;
    status_ = device_->launch(kernel.entry(), shape, &args, sizeof args);
  }
  void note(Status status) {
    if (status_.is_ok()) status_ = std::move(status);
  }
  // The first failure since the last call.
  Status take_status() { return std::exchange(status_, Status::ok()); }

 private:
  std::unique_ptr<Device> device_;
  KernelTable kernels_;
  Status status_;
};

}  // namespace ferrum::cuda
