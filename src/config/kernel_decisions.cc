#include "config/kernel_decisions.h"

#include <algorithm>
#include <array>

namespace ferrum {
namespace {

void decide_cpu(const ResolverInput& input, Recorder& record, RunConfig& config) {
  config.cpu_profile = resolve_cpu_profile(config.cpu_isa, input.model.weight_types);
  const Source source =
      input.settings.has("FERRUM_CPU_ISA") ? input.settings.source("FERRUM_CPU_ISA") : Source::kHardwareCapability;
  Flag by{true, source, std::nullopt};
  if (input.settings.has("FERRUM_CPU_ISA")) by.key = "FERRUM_CPU_ISA";
  for (const CpuKernelChoice& choice : config.cpu_profile->kernels) {
    std::vector<DecisionCandidate> candidates{{choice.dot, ""}};
    for (const std::string& level : choice.fallbacks) {
      const std::string dot(dot_variant(choice.weight_type, level));
      if (dot != candidates.back().value) candidates.push_back({dot, "slower; taken if the first proves wrong here"});
    }
    record.select("cpu_kernel_" + choice.weight_type, 0, by, std::move(candidates), {Effect::kPerformance});
  }
}

// One of a variant's names, from the override or the device.
template <typename Variant, size_t n>
void decide_variant(Recorder& record, const char* selection, Variant variant, std::optional<std::string_view> key,
                    const std::array<std::pair<Variant, const char*>, n>& all) {
  Flag by{true, Source::kHardwareCapability, std::nullopt};
  if (key) by = {true, record.settings().source(*key), std::string(*key)};
  std::vector<DecisionCandidate> candidates;
  size_t selected = 0;
  for (const auto& [value, reason] : all) {
    if (value == variant) selected = candidates.size();
    candidates.push_back({std::string(to_string(value)), reason});
  }
  record.select(selection, selected, by, std::move(candidates), {Effect::kCorrectness, Effect::kPerformance});
}

void decide_switch(Recorder& record, const char* selection, std::string_view key, bool on, const char* against_on,
                   const char* against_off) {
  const Flag by = record.flag(key, on, Source::kHardwareCapability);
  record.select(selection, on ? 0 : 1, by, {{"on", against_on}, {"off", against_off}},
                {Effect::kCorrectness, Effect::kPerformance});
}

Status check_gpu(const Recorder& record, const GpuProfileOverrides& wanted, const GpuProfile& p) {
  return record.first_broken({
      {wanted.w4a16_interleaved.value_or(false) && !p.w4a16_interleaved, "FERRUM_W4A16_INTERLEAVED",
       "needs tensor cores, compute capability >= 7.0"},
      {wanted.fused_gate_up.value_or(false) && p.q4k != Q4kVariant::kHwDp4a,
       "FERRUM_FUSED_GATE_UP",
       "the fused kernel exists for half-warp Q4_K only",
       {"FERRUM_WIDE_Q4K_DISABLE", "FERRUM_WIDE_Q4K", "FERRUM_VECTORIZED_Q4K", "FERRUM_DP4A_Q4K", "FERRUM_MWV_Q4K"}},
  });
}

Status decide_gpu(const ResolverInput& input, Recorder& record, RunConfig& config) {
  FERRUM_ASSIGN_OR_RETURN(const GpuProfileOverrides overrides, gpu_overrides(input.settings));
  if (!input.hardware.compute_capability) return Status::ok();
  const auto capability = parse_compute_capability(*input.hardware.compute_capability);
  if (!capability) return Status::ok();
  const GpuProfile p =
      resolve_gpu_profile({capability->first, capability->second, input.hardware.sm_count.value_or(8)}, overrides);
  FERRUM_RETURN_IF_ERROR(check_gpu(record, overrides, p));
  config.gpu_profile = p;

  decide_variant<Q4kVariant, 6>(
      record, "q4k_kernel", p.q4k, overrides.q4k_key,
      {{{Q4kVariant::kHwDp4a, "8-bit activations are not exact enough or not in hardware here"},
        {Q4kVariant::kMwv, "integer dot products are faster here"},
        {Q4kVariant::kMwvDp4a, "the half-warp kernel is faster"},
        {Q4kVariant::kVectorized, "slower; for experiments"},
        {Q4kVariant::kWide, "slower; for experiments"},
        {Q4kVariant::kLegacy, "slower; for experiments"}}});
  decide_variant<Q6kVariant, 4>(record, "q6k_kernel", p.q6k, overrides.q6k_key,
                                {{{Q6kVariant::kHwDp4a, "the device has no integer dot products"},
                                  {Q6kVariant::kMwv, "integer dot products are faster here"},
                                  {Q6kVariant::kDp4a, "the half-warp kernel is faster"},
                                  {Q6kVariant::kLegacy, "slower"}}});
  const Count warps = record.count("FERRUM_MWV_WARPS", {p.mwv_warps, Source::kDefault, {}});
  record.value("mwv_warps", std::to_string(warps.value), warps, {Effect::kPerformance});
  decide_switch(record, "batched_prefill", "FERRUM_BATCHED_PREFILL", p.batched_prefill, "switched off",
                "matrix kernels are faster for prompts");
  decide_switch(record, "hgemm_decode", "FERRUM_HGEMM_DECODE", p.hgemm_decode,
                "for one row slower than the quantised kernels", "asked for");
  decide_switch(record, "fused_gate_up", "FERRUM_FUSED_GATE_UP", p.fused_gate_up,
                "exists with half-warp Q4_K only, or switched off", "one kernel instead of three");
  decide_switch(record, "fp8_prefill", "FERRUM_FP8_PREFILL", p.fp8_prefill,
                "needs compute capability 8.9, or switched off", "half the bytes of 16-bit weights");
  decide_switch(record, "fp8_decode", "FERRUM_FP8_DECODE", p.fp8_decode, "goes with FP8 for prompts, or switched off",
                "half the bytes of 16-bit weights");
  decide_switch(record, "w4a16_interleaved", "FERRUM_W4A16_INTERLEAVED", p.w4a16_interleaved,
                "not the default until it is measured", "asked for");
  return Status::ok();
}

Status decide_graph(const ResolverInput& input, Recorder& record, RunConfig& config) {
  const Flag graph = record.flag("FERRUM_CUDA_GRAPH", false, Source::kDefault);
  FERRUM_RETURN_IF_ERROR(record.first_broken({
      {graph.value && config.backend != "cuda", "FERRUM_CUDA_GRAPH", "CUDA graphs require CUDA backend"},
      {graph.value && !input.hardware.compiled_features.cuda_graph, "FERRUM_CUDA_GRAPH",
       "CUDA graph support is not compiled"},
      {graph.value && !input.hardware.graph_support, "FERRUM_CUDA_GRAPH",
       "hardware/backend does not support CUDA graph replay"},
  }));
  config.cuda_graph = graph.value;
  if (config.backend == "cuda") {
    record.select("cuda_graph_policy", graph.value ? 0 : 1, graph,
                  {{"graph_replay", "graph replay not selected"}, {"graph_disabled", "graph replay selected"}},
                  {Effect::kPerformance, Effect::kCorrectness});
  }
  return Status::ok();
}

// Overrides of a GPU's kernels where no GPU computes.
Status refuse_gpu_overrides(const Recorder& record) {
  for (const KeySpec& key : all_keys()) {
    if (!key.toml.starts_with("kernels.") || !record.settings().has(key.name)) continue;
    const bool off = key.type == KeyType::kBool && !*record.settings().get_bool(key.name);
    if (!off) return record.refuse(key.name, "chooses kernels of a CUDA device, and none computes here");
  }
  return Status::ok();
}

}  // namespace

Status decide_kernels(const ResolverInput& input, Recorder& record, RunConfig& config) {
  FERRUM_RETURN_IF_ERROR(decide_graph(input, record, config));
  if (config.backend == "cuda") return input.parts.cuda ? decide_gpu(input, record, config) : Status::ok();
  FERRUM_RETURN_IF_ERROR(refuse_gpu_overrides(record));
  if (config.backend == "cpu" && input.host) decide_cpu(input, record, config);
  return Status::ok();
}

}  // namespace ferrum
