#pragma once

#include "backend/cpu/cpu_ops.h"
#include "backend/host_backend.h"

namespace ferrum {

// Vector kernels on the stored blocks, over a pool of threads.
class CpuBackend final : public HostBackend {
 public:
  // isa must be available; threads >= 1, the calling one included.
  CpuBackend(CpuIsa isa, int threads, BackendLimits limits) : context_(isa, threads, limits), ops_(context_) {}

  std::string_view name() const override { return "cpu"; }
  std::string describe() const override;
  bool supports(DType) const override { return true; }
  Ops& ops() override { return ops_; }
  Result<std::unique_ptr<Linear>> make_linear(LinearSpec spec) override;

 private:
  CpuContext context_;
  CpuOps ops_;
};

}  // namespace ferrum
