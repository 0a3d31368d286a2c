// Backend "cuda": GGUF weights, paged KV and activations in the memory of an NVIDIA GPU (docs/cuda.md).
#pragma once

#include "backend/cuda/cuda_experts.h"
#include "backend/cuda/cuda_linear.h"
#include "backend/cuda/cuda_ops.h"
#include "backend/cuda/queue.h"
#include "ops/backend.h"

namespace ferrum::cuda {

class CudaBackend final : public Backend {
 public:
  CudaBackend(std::unique_ptr<Device> device, const KernelTable& kernels, const BackendLimits& limits);

  std::string_view name() const override { return "cuda"; }
  std::string describe() const override;
  bool supports(DType weight_type) const override;
  Ops& ops() override { return ops_; }
  Result<std::unique_ptr<Linear>> make_linear(LinearSpec spec) override;
  Result<std::unique_ptr<Experts>> make_experts(ExpertsSpec spec) override;

  Result<Buffer> allocate(size_t bytes) override { return queue_.device().allocate(bytes); }
  Result<ConstView> place(ConstView host) override;
  // Queues one copy of all arrays; the Batch may go once this has returned.
  Result<DeviceBatch> upload(const Batch& batch) override;
  Status copy_to_host(void* host, const void* device, size_t bytes) override;
  Status copy_to_device(void* device, const void* host, size_t bytes) override;
  Status copy_on_device(void* to, const void* from, size_t bytes) override;
  Result<ConstView> download(ConstView device) override;

 private:
  // Waits for the device, on which `last` was queued. The first failure is the reason of what fails after it.
  Status finish(Status last);
  Status grow(Buffer& buffer, size_t bytes, bool pinned);

  Queue queue_;
  CudaOps ops_;
  ActivationScratch activations_;
  ExpertScratch expert_scratch_;
  const BackendLimits limits_;
  std::vector<Buffer> placed_;
  Buffer staging_, uploaded_;  // the arrays of a step on the host and on the device
  Buffer downloaded_;
  bool upload_in_flight_ = false;
};

}  // namespace ferrum::cuda
