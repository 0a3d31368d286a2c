#include "config/resolver.h"

#include <algorithm>

#include "config/key_table.h"
#include "config/kv_default.h"
#include "config/parse.h"
#include "config/recorder.h"
#include "config/resolver_machine.h"
#include "config/speculation_decision.h"

namespace ferrum {
namespace {

constexpr double kDefaultKvFraction = 0.5;
constexpr int64_t kHostBatchedTokens = 512;

// The choices of the Rust engine whose rules these are, then those of this machine (resolver_machine.h).
class Resolver {
 public:
  explicit Resolver(const ResolverInput& input)
      : in_(input), features_(input.hardware.compiled_features), cuda_(is_backend("cuda")), record_(input.settings) {}

  Result<RunConfig> run() {
    FERRUM_RETURN_IF_ERROR(check_parts(in_.settings, in_.parts));
    choose_paths();
    FERRUM_RETURN_IF_ERROR(choose_capacity());
    FERRUM_RETURN_IF_ERROR(validate_attention());
    FERRUM_RETURN_IF_ERROR(validate_moe());
    FERRUM_RETURN_IF_ERROR(validate_memory());
    FERRUM_RETURN_IF_ERROR(validate_dtypes());
    FERRUM_RETURN_IF_ERROR(validate_sampling());
    decide_attention();
    decide_moe();
    decide_memory();
    decide_prefix_cache();
    FERRUM_RETURN_IF_ERROR(decide_admission());
    decide_sampling();
    FERRUM_RETURN_IF_ERROR(decide_speculation(in_, record_, config_));
    FERRUM_RETURN_IF_ERROR(decide_machine(in_, record_, config_));
    config_.decisions = record_.take();
    return std::move(config_);
  }

 private:
  bool is_backend(std::string_view name) const { return to_lower(in_.hardware.backend) == name; }

  void choose_paths() {
    const bool m3 = in_.workload.is_m3_preset();
    const bool m3_on_cuda = m3 && cuda_;
    const auto preset = [&](std::string_view key, bool fallback) {
      return record_.flag(key, fallback, Source::kWorkloadPreset);
    };
    const auto plain = [&](std::string_view key, bool fallback) {
      return record_.flag(key, fallback, Source::kDefault);
    };
    paged_attn_ = preset("FERRUM_USE_VLLM_PAGED_ATTN", m3_on_cuda && features_.vllm_paged_attn);
    fa_layout_ = plain("FERRUM_FA_LAYOUT_VARLEN", false);
    fa2_source_ = plain("FERRUM_FA2_SOURCE", false);
    shim_present_ = in_.settings.has("FERRUM_FA2_DIRECT_FFI_SHIM");
    fa2_direct_ =
        record_.flag("FERRUM_FA2_DIRECT_FFI", shim_present_, in_.settings.source("FERRUM_FA2_DIRECT_FFI_SHIM"));
    v1_short_ = plain("FERRUM_VLLM_PAGED_ATTN_V1_SHORT", paged_attn_.value);
    vllm_moe_ = preset("FERRUM_VLLM_MOE", m3_on_cuda && features_.vllm_moe_marlin);
    device_route_ = preset("FERRUM_MOE_DEVICE_ROUTE", m3 && vllm_moe_.value);
    pair_ids_ = preset("FERRUM_VLLM_MOE_PAIR_IDS", vllm_moe_.value);
    graph_ = preset("FERRUM_MOE_GRAPH", false);
    argmax_ = preset("FERRUM_GREEDY_ARGMAX", m3_on_cuda && features_.greedy_argmax);
    prefix_cache_ = record_.flag("FERRUM_PREFIX_CACHE", !m3, m3 ? Source::kWorkloadPreset : Source::kDefault);
  }

  Status choose_capacity() {
    block_size_ = record_.count("FERRUM_BLOCK_SIZE", {kDefaultBlockSize, Source::kDefault, {}});
    max_seqs_ = record_.count("FERRUM_PAGED_MAX_SEQS", default_max_seqs());
    if (in_.settings.has("FERRUM_MAX_MODEL_LEN")) model_len_ = record_.count("FERRUM_MAX_MODEL_LEN", {});
    kv_blocks_ = record_.count("FERRUM_KV_MAX_BLOCKS", {});
    if (!kv_blocks_.key) {
      FERRUM_ASSIGN_OR_RETURN(kv_blocks_, default_kv_blocks());
    }
    batched_tokens_ = record_.count("FERRUM_MAX_BATCHED_TOKENS", default_batched_tokens());
    return Status::ok();
  }

  bool on_host() const { return in_.host.has_value() && (is_backend("cpu") || is_backend("reference")); }

  // The workload's concurrency; for the preset, no more than the SMs (four each) and the memory suggest.
  Count default_max_seqs() const {
    const int64_t target = std::max<int64_t>(in_.workload.target_concurrency, 1);
    int64_t selected = target;
    if (in_.workload.is_m3_preset()) {
      if (in_.hardware.sm_count) selected = std::min(selected, std::max<int64_t>(*in_.hardware.sm_count / 4, 1));
      if (in_.hardware.vram_bytes) selected = std::min(selected, vram_default_max_sequences(*in_.hardware.vram_bytes));
    }
    selected = std::max<int64_t>(selected, 1);
    return {selected, selected < target ? Source::kHardwareCapability : Source::kWorkloadPreset, {}};
  }

  Result<Count> default_kv_blocks() const {
    KvNeed need;
    need.max_seqs = max_seqs_.value;
    need.block_size = block_size_.value;
    need.bytes_per_token = kv_bytes_per_token(in_);
    need.weight_bytes = weight_bytes(in_);
    need.context = wanted_context(in_);
    const bool on_this_device = cuda_ && in_.host.has_value();
    if (on_this_device) return accelerator_kv_blocks(need, in_.cuda.free_memory);
    if (!on_host()) return accelerator_kv_blocks(need, in_.hardware.vram_bytes);
    return host_kv_blocks(need, in_.host->free_memory,
                          in_.settings.get_float("FERRUM_KV_MEMORY_FRACTION").value_or(kDefaultKvFraction));
  }

  // 64 tokens per sequence, at most what the KV cache holds, at least one per sequence. A single sequence on this
  // machine reads its prompt in larger steps than that: weights are read once per step, and memory is what it waits
  // for.
  Count default_batched_tokens() const {
    const int64_t seqs = std::max<int64_t>(max_seqs_.value, 1);
    const int64_t kv_tokens = std::max(saturating_mul(kv_blocks_.value, block_size_.value), seqs);
    const bool by_hardware =
        max_seqs_.source == Source::kHardwareCapability || kv_blocks_.source == Source::kHardwareCapability;
    const int64_t wanted = std::max(saturating_mul(seqs, 64), in_.host ? kHostBatchedTokens : 0);
    return {std::max(std::min(std::min(wanted, kMaxBatchedTokens), kv_tokens), seqs),
            by_hardware ? Source::kHardwareCapability : Source::kWorkloadPreset,
            {}};
  }

  // False only where the capability is known and lower: an unknown device is not refused.
  bool below_compute_capability(int major, int minor) const {
    if (!in_.hardware.compute_capability) return false;
    const auto actual = parse_compute_capability(*in_.hardware.compute_capability);
    return actual && *actual < std::pair(major, minor);
  }

  Status validate_attention() const {
    const bool old_device = below_compute_capability(8, 0);
    FERRUM_RETURN_IF_ERROR(record_.first_broken({
        {paged_attn_.value && !features_.vllm_paged_attn, "FERRUM_USE_VLLM_PAGED_ATTN",
         "vLLM paged attention is not compiled"},
        {paged_attn_.value && !cuda_, "FERRUM_USE_VLLM_PAGED_ATTN", "vLLM paged attention requires CUDA backend"},
        {fa_layout_.value && !paged_attn_.value,
         "FERRUM_FA_LAYOUT_VARLEN",
         "FA layout requires vLLM paged attention layout",
         {"FERRUM_USE_VLLM_PAGED_ATTN"}},
        {fa2_source_.value && !features_.fa2_source, "FERRUM_FA2_SOURCE", "source-linked FA2 support is not compiled"},
        {fa2_source_.value && !cuda_, "FERRUM_FA2_SOURCE", "source-linked FA2 requires CUDA backend"},
        {fa2_source_.value && !paged_attn_.value,
         "FERRUM_FA2_SOURCE",
         "source-linked FA2 requires vLLM paged attention layout",
         {"FERRUM_USE_VLLM_PAGED_ATTN"}},
        {fa2_source_.value && old_device, "FERRUM_FA2_SOURCE",
         "source-linked FA2 requires CUDA compute capability >= 8.0"},
        {fa2_direct_.value && !features_.fa2_direct_ffi,
         "FERRUM_FA2_DIRECT_FFI",
         "direct FA2 FFI shim support is not compiled",
         {"FERRUM_FA2_DIRECT_FFI_SHIM"}},
        {fa2_direct_.value && !cuda_,
         "FERRUM_FA2_DIRECT_FFI",
         "direct FA2 FFI shim requires CUDA backend",
         {"FERRUM_FA2_DIRECT_FFI_SHIM"}},
        {fa2_direct_.value && old_device,
         "FERRUM_FA2_DIRECT_FFI",
         "direct FA2 FFI shim requires CUDA compute capability >= 8.0",
         {"FERRUM_FA2_DIRECT_FFI_SHIM"}},
        {fa2_direct_.value && !shim_present_, "FERRUM_FA2_DIRECT_FFI", "requires FERRUM_FA2_DIRECT_FFI_SHIM"},
    }));
    if (fa2_source_.value && fa2_direct_.value) {
      return record_.unsupported("attention_prefill_mixed_backend",
                                 "FA2 source and direct FFI shim cannot both own the prefill path",
                                 {"FERRUM_FA2_SOURCE", "FERRUM_FA2_DIRECT_FFI", "FERRUM_FA2_DIRECT_FFI_SHIM"});
    }
    return record_.first_broken({{v1_short_.value && !paged_attn_.value,
                                  "FERRUM_VLLM_PAGED_ATTN_V1_SHORT",
                                  "short-context v1 requires vLLM paged attention",
                                  {"FERRUM_USE_VLLM_PAGED_ATTN"}}});
  }

  Status validate_moe() const {
    const bool graph = graph_.value && (in_.model.moe.has_value() || in_.workload.is_m3_preset());
    FERRUM_RETURN_IF_ERROR(record_.first_broken({
        {vllm_moe_.value && !features_.vllm_moe_marlin, "FERRUM_VLLM_MOE", "vLLM Marlin MoE is not compiled"},
        {vllm_moe_.value && !cuda_, "FERRUM_VLLM_MOE", "vLLM Marlin MoE requires CUDA backend"},
        {device_route_.value && !vllm_moe_.value,
         "FERRUM_MOE_DEVICE_ROUTE",
         "device route currently requires vLLM MoE",
         {"FERRUM_VLLM_MOE"}},
        {pair_ids_.value && !vllm_moe_.value,
         "FERRUM_VLLM_MOE_PAIR_IDS",
         "pair-id routing requires vLLM MoE",
         {"FERRUM_VLLM_MOE"}},
        {graph && !in_.hardware.graph_support, "FERRUM_MOE_GRAPH",
         "hardware/backend does not support CUDA graph replay"},
        {graph && !features_.cuda_graph, "FERRUM_MOE_GRAPH", "CUDA graph support is not compiled"},
        {graph && !vllm_moe_.value,
         "FERRUM_MOE_GRAPH",
         "graph decode requires the graph-clean vLLM MoE path",
         {"FERRUM_VLLM_MOE"}},
    }));
    if (graph && in_.model.moe && !in_.model.graph_safe_moe) {
      return record_.unsupported("moe_graph_policy", "model MoE path is not marked graph-safe", {"FERRUM_MOE_GRAPH"});
    }
    return Status::ok();
  }

  Status validate_memory() const {
    const int64_t kv_tokens = saturating_mul(kv_blocks_.value, block_size_.value);
    FERRUM_RETURN_IF_ERROR(record_.first_broken({
        {kv_blocks_.value == 0, "FERRUM_KV_MAX_BLOCKS", "must be greater than zero"},
        {max_seqs_.value == 0, "FERRUM_PAGED_MAX_SEQS", "must be greater than zero"},
        {batched_tokens_.value < max_seqs_.value,
         "FERRUM_MAX_BATCHED_TOKENS",
         "must be at least FERRUM_PAGED_MAX_SEQS",
         {"FERRUM_PAGED_MAX_SEQS"}},
        {batched_tokens_.value > kv_tokens,
         "FERRUM_MAX_BATCHED_TOKENS",
         "exceeds KV cache token capacity",
         {"FERRUM_KV_MAX_BLOCKS", "FERRUM_PAGED_MAX_SEQS", "FERRUM_BLOCK_SIZE"}},
    }));
    if (!model_len_) return Status::ok();
    const int64_t wanted = model_len_->value;
    return record_.first_broken({
        {wanted == 0, "FERRUM_MAX_MODEL_LEN", "must be greater than zero"},
        {in_.model.max_context_len && wanted > *in_.model.max_context_len, "FERRUM_MAX_MODEL_LEN",
         "exceeds model metadata max context length"},
        {wanted > kv_tokens,
         "FERRUM_KV_MAX_BLOCKS",
         "KV cache token capacity is smaller than FERRUM_MAX_MODEL_LEN",
         {"FERRUM_MAX_MODEL_LEN", "FERRUM_BLOCK_SIZE", "FERRUM_KV_MEMORY_FRACTION"}},
    });
  }

  Status validate_dtypes() const {
    const auto missing = [this](const char* key, const std::vector<std::string>& supported) {
      const auto wanted = in_.settings.get_text(key);
      return wanted && std::find(supported.begin(), supported.end(), *wanted) == supported.end();
    };
    return record_.first_broken({
        {missing("FERRUM_DTYPE", in_.hardware.supported_dtypes), "FERRUM_DTYPE",
         "dtype is not supported by hardware profile"},
        {missing("FERRUM_KV_DTYPE", in_.hardware.supported_kv_dtypes), "FERRUM_KV_DTYPE",
         "KV dtype is not supported by hardware profile"},
    });
  }

  Status validate_sampling() const {
    return record_.first_broken({
        {argmax_.value && !features_.greedy_argmax, "FERRUM_GREEDY_ARGMAX", "GPU argmax is not compiled"},
        {argmax_.value && !cuda_ && !is_backend("metal"), "FERRUM_GREEDY_ARGMAX",
         "greedy argmax requires CUDA or Metal backend"},
    });
  }

  void decide_attention() {
    const Flag unset;
    const auto& [prefill, by] = [&]() -> std::pair<AttentionPrefill, const Flag&> {
      if (fa2_source_.value) return {AttentionPrefill::kFa2Source, fa2_source_};
      if (fa2_direct_.value) return {AttentionPrefill::kFa2DirectFfi, fa2_direct_};
      if (fa_layout_.value) return {AttentionPrefill::kFaLayoutVarlen, fa_layout_};
      if (paged_attn_.value) return {AttentionPrefill::kVllmPagedVarlen, paged_attn_};
      return {AttentionPrefill::kLegacyPagedVarlen, unset};
    }();
    config_.attention_prefill = prefill;
    record_.select("attention_prefill_mixed_backend", static_cast<size_t>(prefill), by,
                   {{"fa2_source", "source-linked FA2 path not selected"},
                    {"fa2_direct_ffi", "diagnostic direct FFI shim not selected"},
                    {"fa_layout_varlen", "FA-compatible layout not selected"},
                    {"vllm_paged_varlen", "vLLM paged varlen bridge not selected"},
                    {"legacy_paged_varlen", "a higher-priority attention path was selected"}},
                   {Effect::kPerformance, Effect::kMemory});

    config_.attention_decode = !paged_attn_.value ? AttentionDecode::kLegacyPaged
                               : v1_short_.value  ? AttentionDecode::kVllmPagedV1Short
                                                  : AttentionDecode::kVllmPagedV2;
    const Flag legacy{false, paged_attn_.source, std::nullopt};
    record_.select("attention_decode_backend", static_cast<size_t>(config_.attention_decode),
                   paged_attn_.value ? v1_short_ : legacy,
                   {{"vllm_paged_attn_v1_short", "short-context v1 decode not selected"},
                    {"vllm_paged_attn_v2", "v2 decode not selected"},
                    {"legacy_paged_decode", "legacy decode not selected"}},
                   {Effect::kPerformance});
  }

  void decide_moe() {
    config_.moe = !vllm_moe_.value       ? MoeImplementation::kLegacy
                  : !device_route_.value ? MoeImplementation::kMarlin
                  : !pair_ids_.value     ? MoeImplementation::kMarlinDeviceRoute
                                         : MoeImplementation::kMarlinDeviceRoutePairIds;
    record_.select("moe_implementation", static_cast<size_t>(config_.moe), vllm_moe_,
                   {{"vllm_marlin_moe_device_route_pair_ids", "pair-id device route not selected"},
                    {"vllm_marlin_moe_device_route", "device-route MoE not selected"},
                    {"vllm_marlin_moe", "vLLM Marlin MoE not selected"},
                    {"legacy_moe", "legacy MoE not selected"}},
                   {Effect::kPerformance});
    config_.moe_graph = graph_.value;
    record_.select("moe_graph_policy", graph_.value ? 0 : 1, graph_,
                   {{"graph_clean_decode", "graph decode not selected"}, {"graph_disabled", "graph decode selected"}},
                   {Effect::kPerformance, Effect::kCorrectness});
  }

  void count_decision(const char* selection, const Count& by, Effect effect) {
    record_.value(selection, std::to_string(by.value), by, {effect});
  }

  void decide_memory() {
    config_.block_size = block_size_.value;
    config_.kv_blocks = kv_blocks_.value;
    config_.max_sequences = max_seqs_.value;
    config_.max_batched_tokens = batched_tokens_.value;
    count_decision("kv_block_count", kv_blocks_, Effect::kMemory);
    count_decision("max_sequences", max_seqs_, Effect::kMemory);
    count_decision("max_batched_tokens", batched_tokens_, Effect::kPerformance);
    if (!model_len_) return;
    config_.max_model_len = model_len_->value;
    count_decision("max_model_len", *model_len_, Effect::kMemory);
  }

  void decide_prefix_cache() {
    config_.prefix_cache = prefix_cache_.value;
    record_.select(
        "prefix_cache_policy", prefix_cache_.value ? 0 : 1, prefix_cache_,
        {{"prefix_cache_enabled", "prefix cache not selected"}, {"prefix_cache_disabled", "prefix cache enabled"}},
        {Effect::kCorrectness, Effect::kPerformance, Effect::kMemory});
  }

  Status decide_admission() {
    Flag by;
    std::string selected = "continuous_default";
    const auto counted = [&](const char* key, const char* name, AdmissionPolicy policy) {
      const auto value = in_.settings.get_int(key);
      if (!value) return false;
      by = {true, in_.settings.source(key), std::string(key)};
      selected = name + std::string(":") + std::to_string(*value);
      config_.admission = policy;
      config_.admission_value = *value;
      return true;
    };
    if (counted("FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "active_decode_prefill_chunk",
                AdmissionPolicy::kActiveDecodePrefillChunk)) {
      if (config_.admission_value == 0) {
        return record_.unsupported("scheduler_admission_policy",
                                   "active decode prefill chunk must be greater than zero",
                                   {"FERRUM_ACTIVE_DECODE_PREFILL_CHUNK"});
      }
    } else if (!counted("FERRUM_SCHED_PREFILL_FIRST_UNTIL_ACTIVE", "prefill_first_until_active",
                        AdmissionPolicy::kPrefillFirstUntilActive)) {
      const Flag estimate = record_.flag("FERRUM_SCHED_PROMPT_TOKEN_ESTIMATE", false, Source::kDefault);
      if (estimate.value) {
        by = estimate;
        selected = "prompt_token_estimate";
        config_.admission = AdmissionPolicy::kPromptTokenEstimate;
      }
    }
    record_.add(
        {"scheduler_admission_policy",
         selected,
         by.source,
         by.key,
         {"continuous_default", "prompt_token_estimate", "prefill_first_until_active", "active_decode_prefill_chunk"},
         {},
         {Effect::kPerformance}});
    return Status::ok();
  }

  void decide_sampling() {
    config_.device_argmax = argmax_.value;
    record_.select(
        "sampling_readback_path", argmax_.value ? 0 : 1, argmax_,
        {{"gpu_greedy_argmax", "GPU argmax not selected"}, {"logits_readback", "logits readback not selected"}},
        {Effect::kPerformance, Effect::kCorrectness});
  }

  const ResolverInput& in_;
  const CompiledKernelFeatures& features_;
  const bool cuda_;

  Flag paged_attn_, fa_layout_, fa2_source_, fa2_direct_, v1_short_;
  bool shim_present_ = false;
  Flag vllm_moe_, device_route_, pair_ids_, graph_, argmax_, prefix_cache_;
  Count max_seqs_, block_size_, kv_blocks_, batched_tokens_;
  std::optional<Count> model_len_;

  Recorder record_;
  RunConfig config_;
};

}  // namespace

const Decision* RunConfig::find(std::string_view selection) const {
  for (const Decision& d : decisions) {
    if (d.selection == selection) return &d;
  }
  return nullptr;
}

Result<RunConfig> resolve(const ResolverInput& input) { return Resolver(input).run(); }

}  // namespace ferrum
