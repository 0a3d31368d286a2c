#include "backend/registry.h"

#include <algorithm>
#include <array>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/cpu_expert_store.h"
#include "backend/cpu/cpu_experts.h"
#include "backend/cpu/cpu_linear.h"
#include "backend/cpu/panels.h"
#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device/open.h"
#include "backend/cuda/device_matrix.h"
#include "backend/reference/reference_backend.h"
#include "base/cores.h"

namespace ferrum {
namespace {

using Maker = Result<std::unique_ptr<Backend>> (*)(const BackendConfig&);

Result<std::unique_ptr<Backend>> make_reference(const BackendConfig&) {
  return std::unique_ptr<Backend>(std::make_unique<ReferenceBackend>());
}

constexpr int kMaxThreads = 1024;

std::string list_of(std::span<const std::string_view> names) {
  std::string list;
  for (std::string_view name : names) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

Result<CpuIsa> choose_isa(const std::string& wanted) {
  if (wanted == "auto") return best_cpu_isa();
  const std::optional<CpuIsa> isa = cpu_isa_from_name(wanted);
  if (!isa.has_value()) {
    return invalid_argument("unknown instruction set '" + wanted + "'; choose one of: auto, " +
                            list_of(cpu_isa_names()));
  }
  if (!cpu_isa_available(*isa)) {
    return unsupported("this machine cannot run instruction set '" + wanted + "'; its best is '" +
                       std::string(to_string(best_cpu_isa())) + "'");
  }
  return *isa;
}

Result<std::unique_ptr<Backend>> make_cpu(const BackendConfig& config) {
  if (config.threads < 0 || config.threads > kMaxThreads) {
    return invalid_argument("threads is " + std::to_string(config.threads) + "; choose 1 to " +
                            std::to_string(kMaxThreads) + ", or 0 for one per core");
  }
  FERRUM_ASSIGN_OR_RETURN(const CpuIsa isa, choose_isa(config.isa));
  const int threads = config.threads > 0 ? config.threads : process_cores();
  const auto kernels_of = [&config](CpuIsa level) {
    CpuKernels table = all_cpu_kernels(level);
    if (level == CpuIsa::kAvx512 && config.rounded_bf16) {
      const RoundedBf16 rounded = cpu_rounded_bf16();
      if (!rounded.instruction.empty()) table.floats.of(DType::kBF16) = rounded.kernel;
    }
    return table;
  };
  if (!config.parity) {
    return std::unique_ptr<Backend>(
        std::make_unique<CpuBackend>(isa, GatedKernels{kernels_of(isa), {}}, threads, config.limits, config.layout));
  }

  std::vector<KernelLevel> levels(config.kernel_levels.begin(), config.kernel_levels.end());
  if (levels.empty()) {
    for (CpuIsa level : available_cpu_isas(isa)) levels.push_back({std::string(to_string(level)), kernels_of(level)});
  }
  FERRUM_ASSIGN_OR_RETURN(GatedKernels kernels, gate_kernels(levels, *config.parity, config.layout));
  return std::unique_ptr<Backend>(
      std::make_unique<CpuBackend>(isa, std::move(kernels), threads, config.limits, config.layout));
}

Result<std::unique_ptr<Backend>> make_cuda(const BackendConfig& config) {
  FERRUM_ASSIGN_OR_RETURN(cuda::OpenDevice opened, cuda::open_cuda_device());
  return std::unique_ptr<Backend>(
      std::make_unique<cuda::CudaBackend>(std::move(opened.device), opened.kernels, config.limits));
}

struct Entry {
  std::string_view name;
  Maker make;
};

// Every backend there is.
constexpr std::array kBackends = {
    Entry{"reference", make_reference},
    Entry{"cpu", make_cpu},
    Entry{"cuda", make_cuda},
};

constexpr auto kNames = [] {
  std::array<std::string_view, kBackends.size()> names;
  for (size_t i = 0; i < names.size(); ++i) names[i] = kBackends[i].name;
  return names;
}();

constexpr int kMaxTokens = 1 << 20;

}  // namespace

std::span<const std::string_view> backend_names() { return kNames; }
std::span<const std::string_view> isa_choices() { return cpu_isa_names(); }

Result<CudaDevice> find_cuda_device() {
  FERRUM_ASSIGN_OR_RETURN(cuda::DeviceFacts facts, cuda::find_cuda_device());
  return CudaDevice{std::move(facts.name), facts.compute_capability, facts.multiprocessors, facts.memory_bytes};
}
bool has_cuda_kernels() { return cuda::compiled_with_cuda(); }

std::string_view rounded_bf16_instruction() { return cpu_rounded_bf16().instruction; }

bool isa_available(std::string_view isa) {
  const std::optional<CpuIsa> level = cpu_isa_from_name(isa);
  return level.has_value() && cpu_isa_available(*level);
}

namespace {

int64_t cuda_scratch_bytes(const BackendConfig& config, std::span<const ConstView> weights,
                           std::span<const ExpertsSpec* const> experts) {
  int64_t activations = 0;
  for (const ConstView& w : weights) {
    if (cuda::format_index(w.dtype) < 0) continue;
    activations = std::max(activations, cuda::ActivationScratch::bytes(config.limits.max_tokens, w.dim(1)));
  }
  cuda::ExpertScratchBytes most;
  for (const ExpertsSpec* spec : experts) most.grow(cuda::expert_scratch_bytes(*spec, config.limits.max_tokens));
  return activations + most.total();
}

}  // namespace

int64_t scratch_bytes(const BackendConfig& config, std::span<const ConstView> weights,
                      std::span<const ExpertsSpec* const> experts) {
  if (config.name == "cuda") return cuda_scratch_bytes(config, weights, experts);
  if (config.name != "cpu") return 0;
  const int threads = config.threads > 0 ? config.threads : process_cores();
  LinearScratch most;
  for (const ConstView& w : weights) {
    const LinearScratch one = linear_scratch(w.dtype, w.dim(1), config.limits.max_tokens, threads);
    most.activations = std::max(most.activations, one.activations);
    most.rows = std::max(most.rows, one.rows);
    if (config.layout == WeightLayout::kPanels) most.tiles = std::max(most.tiles, one.tiles);
  }
  ExpertScratch largest;
  for (const ExpertsSpec* spec : experts) {
    const ExpertScratch one = expert_scratch(*spec, config.limits.max_tokens);
    largest.gathered = std::max(largest.gathered, one.gathered);
    largest.hidden = std::max(largest.hidden, one.hidden);
    largest.blocks = std::max(largest.blocks, one.blocks);
    largest.plan = std::max(largest.plan, one.plan);
  }
  return most.activations + most.rows + most.tiles + largest.gathered + largest.hidden + largest.blocks + largest.plan;
}

int64_t copied_bytes(const BackendConfig& config, const ConstView& weight) {
  if (config.name == "cuda") return cuda::matrix_bytes(weight.dtype, weight.dim(0), weight.dim(1));
  if (config.name != "cpu" || config.layout != WeightLayout::kPanels || !has_panels(weight.dtype)) return 0;
  return static_cast<int64_t>(panel_bytes(weight.dtype, weight.dim(0), weight.dim(1)));
}

int64_t placed_bytes(const BackendConfig& config, const ConstView& tensor) {
  if (config.name != "cuda") return 0;
  return static_cast<int64_t>(cuda::aligned_on_device(bytes_of(tensor.dtype, tensor.elements())));
}

int64_t expert_slot_bytes(const BackendConfig& config, const ExpertsSpec& experts) {
  return config.name == "cpu" ? CpuExpertStore::slot_bytes(config.layout, experts) : 0;
}

Result<std::unique_ptr<Backend>> make_backend(const BackendConfig& config) {
  const int tokens = config.limits.max_tokens;
  if (tokens < 1 || tokens > kMaxTokens) {
    return invalid_argument("max_tokens is " + std::to_string(tokens) + "; a step holds 1 to " +
                            std::to_string(kMaxTokens) + " tokens");
  }
  const auto found =
      std::find_if(kBackends.begin(), kBackends.end(), [&](const Entry& e) { return e.name == config.name; });
  if (found == kBackends.end()) {
    return invalid_argument("unknown backend '" + config.name + "'; choose one of: " + list_of(kNames));
  }
  return found->make(config);
}

}  // namespace ferrum
