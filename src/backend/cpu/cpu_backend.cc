#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/cpu_experts.h"
#include "backend/cpu/cpu_linear.h"

namespace ferrum {

std::string CpuBackend::describe() const {
  const int threads = context_.pool.size();
  std::string text = "cpu (" + std::string(to_string(context_.isa)) + ", " + std::to_string(threads) +
                     (threads == 1 ? " thread" : " threads");
  for (const KernelChoice& choice : choices_) {
    if (!choice.rejected.empty()) text += ", " + choice.kernel + " from " + choice.level;
  }
  return text + ")";
}

ExpertCacheCounts CpuBackend::expert_cache() const {
  const auto& counts = context_.expert_cache;
  return {counts.hits, counts.misses, counts.bytes_read, counts.slots};
}

Result<std::unique_ptr<Experts>> CpuBackend::make_experts(ExpertsSpec spec) {
  return make_cpu_experts(context_, std::move(spec));
}

Result<std::unique_ptr<Linear>> CpuBackend::make_linear(LinearSpec spec) {
  return make_cpu_linear(context_, std::move(spec));
}

}  // namespace ferrum
