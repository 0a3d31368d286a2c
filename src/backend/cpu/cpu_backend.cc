#include "backend/cpu/cpu_backend.h"

#include <algorithm>

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

std::string CpuBackend::arithmetic(std::span<const DType> weights) const {
  // Rows as the file has them are summed in another order than panels.
  if (context_.layout == WeightLayout::kStored) return "cpu-mmap";
  std::string text = "cpu";
  if (std::find(weights.begin(), weights.end(), DType::kBF16) == weights.end()) return text;
  for (const RoundedBf16& how : all_rounded_bf16()) {
    if (context_.kernels.floats.of(DType::kBF16).dot == how.kernel.dot) text.append("-").append(how.instruction);
  }
  return text;
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
