#pragma once

#include "backend/cpu/cpu_ops.h"
#include "backend/host_backend.h"
#include "backend/parity_gate.h"

namespace ferrum {

// Vector kernels on panels or the stored blocks, over a pool of threads.
class CpuBackend final : public HostBackend {
 public:
  // isa must be available; threads >= 1, the calling one included.
  CpuBackend(CpuIsa isa, int threads, BackendLimits limits, WeightLayout layout)
      : CpuBackend(isa, {all_cpu_kernels(isa), {}}, threads, limits, layout) {}
  // With kernels that the parity gate chose.
  CpuBackend(CpuIsa isa, GatedKernels kernels, int threads, BackendLimits limits, WeightLayout layout)
      : context_(isa, kernels.table, threads, limits, layout), ops_(context_), choices_(std::move(kernels.choices)) {}

  std::string_view name() const override { return "cpu"; }
  std::string describe() const override;
  bool supports(DType) const override { return true; }
  std::string arithmetic(std::span<const DType> weights) const override;
  std::vector<KernelChoice> kernel_choices() const override { return choices_; }
  ExpertCacheCounts expert_cache() const override;
  Ops& ops() override { return ops_; }
  Result<std::unique_ptr<Linear>> make_linear(LinearSpec spec) override;
  Result<std::unique_ptr<Experts>> make_experts(ExpertsSpec spec) override;

 private:
  CpuContext context_;
  CpuOps ops_;
  std::vector<KernelChoice> choices_;
};

}  // namespace ferrum
