#include "engine/model_backend.h"

#include <chrono>
#include <set>

#include "backend/registry.h"
#include "base/check.h"
#include "base/log.h"
#include "engine/expert_residency.h"
#include "models/spec_reader.h"
#include "models/weights.h"
#include "ops/kv_dtype.h"

namespace ferrum {

ParitySample parity_sample(const Gguf& file, const ModelSpec& spec, const EngineOptions& options) {
  ParitySample sample;
  std::set<DType> seen;
  for (const GgufTensor& tensor : file.tensors()) {
    const bool only_looked_up = tensor.name == "token_embd.weight" && !spec.tied_head;
    if (tensor.view.rank < 2 || only_looked_up || !seen.insert(tensor.view.dtype).second) continue;
    ConstView matrix = tensor.view;
    if (matrix.rank == 3) matrix = ConstView(matrix.data, matrix.dtype, {matrix.dim(1), matrix.dim(2)});  // an expert
    sample.matrices.push_back({tensor.name, matrix, {}});
  }
  const GgufTensor* norm = file.find_tensor("blk.0.attn_norm.weight");
  FERRUM_CHECK(norm != nullptr, "a bound model without its first norm");
  sample.norm = norm->view;
  sample.norm_eps = spec.norm_eps;
  sample.num_heads = spec.num_heads;
  sample.num_kv_heads = spec.num_kv_heads;
  sample.head_dim = spec.head_dim;
  sample.rope_dim = spec.rope.dim;
  sample.rope_layout = spec.rope.layout;
  sample.kv_dtype = options.kv_dtype;
  sample.block_size = options.block_size;
  return sample;
}

BackendConfig backend_config(const EngineOptions& options) {
  BackendConfig config{
      options.backend, options.isa, options.threads, {options.max_batched_tokens, options.expert_batch_threshold}};
  config.layout = options.mmap_only ? WeightLayout::kStored : WeightLayout::kPanels;
  config.rounded_bf16 = options.rounded_bf16;
  return config;
}

Result<std::unique_ptr<Backend>> make_model_backend(const Gguf& file, const EngineOptions& options) {
  BackendConfig config = backend_config(options);
  // Other KV types are refused when the cache is made; there is nothing to compare with them.
  const bool gate = options.parity_gate && is_kv_dtype(options.kv_dtype);
  if (gate || options.expert_cache_bytes > 0) {
    FERRUM_ASSIGN_OR_RETURN(const ModelSpec spec, read_model_spec(file));
    // After this, every tensor the sample takes is what it should be.
    FERRUM_ASSIGN_OR_RETURN(const DecoderWeights weights, bind_weights(file, spec));
    FERRUM_ASSIGN_OR_RETURN(const ExpertResidency experts,
                            expert_residency(weights, config, options.expert_cache_bytes));
    config.limits.resident_experts = experts.places;
    if (gate) config.parity = parity_sample(file, spec, options);
  }
  const auto begin = std::chrono::steady_clock::now();
  auto backend = make_backend(config);
  if (gate && backend.is_ok()) {
    const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - begin;
    spdlog::debug("parity gate: {} kernels in {:.1f} ms", (*backend)->kernel_choices().size(), taken.count());
  }
  return backend;
}

void report_rejected(const std::vector<KernelChoice>& kernels) {
  for (const KernelChoice& choice : kernels) {
    for (const auto& rejected : choice.rejected) {
      spdlog::warn("kernel '{}' of {} fails the parity gate ({}); {} is used instead", choice.kernel, rejected.level,
                   rejected.reason, choice.level);
    }
  }
}

}  // namespace ferrum
