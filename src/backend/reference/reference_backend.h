#pragma once

#include "backend/host_backend.h"
#include "backend/reference/reference_ops.h"

namespace ferrum {

// Any weight type, any shape, one thread.
class ReferenceBackend final : public HostBackend {
 public:
  std::string_view name() const override { return "reference"; }
  std::string describe() const override { return "reference (scalar, 1 thread)"; }
  bool supports(DType) const override { return true; }
  Ops& ops() override { return ops_; }
  Result<std::unique_ptr<Linear>> make_linear(LinearSpec spec) override;
  Result<std::unique_ptr<Experts>> make_experts(ExpertsSpec spec) override;

 private:
  ReferenceOps ops_;
};

}  // namespace ferrum
