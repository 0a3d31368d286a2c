#include "engine/capabilities.h"

#include <algorithm>
#include <map>

#include "backend/registry.h"
#include "config/gpu_probe.h"
#include "config/machine.h"
#include "config/parse.h"
#include "engine/inspect.h"
#include "engine/memory.h"
#include "models/weights.h"

namespace ferrum {
namespace {

// Types of the matrices (vectors are norms and biases), most bytes first.
std::vector<std::string> weight_types(const Gguf& file) {
  std::map<std::string, uint64_t> bytes;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.view.rank >= 2) bytes[std::string(to_string(tensor.view.dtype))] += tensor.bytes;
  }
  std::vector<std::string> types;
  for (const auto& [type, count] : bytes) types.push_back(type);
  std::stable_sort(types.begin(), types.end(),
                   [&](const std::string& a, const std::string& b) { return bytes[a] > bytes[b]; });
  return types;
}

std::optional<int64_t> positive(std::optional<int64_t> value) { return value && *value > 0 ? value : std::nullopt; }

// The width of one expert's hidden layer: the key of newer files, or the ordinary one where it has a single value.
std::optional<int64_t> expert_width(const Gguf& file, const InspectCapabilities& c) {
  const auto key = file.get_int(c.architecture + ".expert_feed_forward_length");
  if (key.is_ok() && *key) return positive(*key);
  return c.ffn_size.size() == 1 ? positive(c.ffn_size.front()) : std::nullopt;
}

int64_t expert_bytes(const Gguf& file) {
  int64_t bytes = 0;
  for (const GgufTensor& tensor : file.tensors()) {
    if (is_expert_tensor(tensor)) bytes += static_cast<int64_t>(tensor.bytes);
  }
  return bytes;
}

}  // namespace

ModelCapabilities model_capabilities(const std::shared_ptr<const Gguf>& file) {
  const InspectReport report = measure(file);
  const InspectCapabilities& c = report.capabilities;
  ModelCapabilities m;
  if (!c.architecture.empty()) m.architecture = c.architecture;
  m.weight_types = weight_types(*file);
  if (!m.weight_types.empty()) m.quantization = to_lower(m.weight_types.front());
  if (positive(c.experts)) {
    m.moe = MoeCapabilities{*c.experts, c.experts_used.value_or(0), expert_width(*file, c), expert_bytes(*file)};
  }
  m.max_context_len = positive(c.context_length);
  m.num_hidden_layers = positive(c.layers);
  m.head_dim = positive(c.head_dim);
  if (!c.kv_heads.empty()) m.kv_heads = positive(*std::max_element(c.kv_heads.begin(), c.kv_heads.end()));
  m.estimated_weight_bytes = static_cast<int64_t>(report.tensor_bytes);
  return m;
}

CpuHost cpu_host() {
  CpuHost host;
  host.isa.clear();
  for (std::string_view isa : isa_choices()) {
    if (isa_available(isa)) host.isa.emplace_back(isa);
  }
  host.cores = probe_machine().compute_threads();
  host.free_memory = available_memory().value_or(0);
  host.rounded_bf16 = rounded_bf16_instruction();
  return host;
}

CudaHost cuda_host(const GpuProbe& probe) {
  const Result<CudaDevice> found = find_cuda_device();
  return cuda_host(probe, found.status().message(), compiled_kernel_features());
}
CudaHost cuda_host() { return cuda_host(probe_gpus()); }

Hosts hosts() { return {cpu_host(), cuda_host()}; }

CompiledKernelFeatures compiled_kernel_features() {
  CompiledKernelFeatures features;
  features.cuda = has_cuda_kernels();
  return features;
}

}  // namespace ferrum
