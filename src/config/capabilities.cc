#include "config/capabilities.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "config/parse.h"

namespace ferrum {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

using Json = nlohmann::ordered_json;

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value.has_value() ? Json(*value) : Json(nullptr);
}

std::optional<int> parse_number(std::string_view text) {
  text = trim(text);
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

Json to_json(const CompiledKernelFeatures& f) {
  return {{"cuda", f.cuda},
          {"vllm_paged_attn", f.vllm_paged_attn},
          {"vllm_moe_marlin", f.vllm_moe_marlin},
          {"cuda_graph", f.cuda_graph},
          {"greedy_argmax", f.greedy_argmax},
          {"fa2_source", f.fa2_source},
          {"fa2_direct_ffi", f.fa2_direct_ffi}};
}

const char* to_string(WorkloadPriority priority) {
  switch (priority) {
    case WorkloadPriority::kLatency: return "latency";
    case WorkloadPriority::kThroughput: return "throughput";
    case WorkloadPriority::kBalanced: return "balanced";
  }
  return "unknown";
}

}  // namespace

std::optional<int64_t> ModelCapabilities::kv_bytes_per_token() const {
  if (!num_hidden_layers || !kv_heads || !head_dim) return std::nullopt;
  int64_t bytes = 2 * 2;  // K and V, two bytes an element
  for (int64_t factor : {*num_hidden_layers, *kv_heads, *head_dim}) {
    if (__builtin_mul_overflow(bytes, factor, &bytes)) return std::nullopt;
  }
  return bytes;
}

ModelCapabilities ModelCapabilities::qwen3_30b_a3b_gptq_int4() {
  ModelCapabilities m;
  m.architecture = "qwen3_moe";
  m.quantization = "gptq_int4";
  m.moe = MoeCapabilities{128, 8, 768};
  m.max_context_len = 40960;
  m.num_hidden_layers = 48;
  m.head_dim = 128;
  m.kv_heads = 4;
  m.estimated_weight_bytes = 18 * kGiB;
  m.supported_dtypes = {"fp16"};
  return m;
}

CompiledKernelFeatures CompiledKernelFeatures::m3_fast_path_without_fa2() {
  CompiledKernelFeatures f;
  f.cuda = f.vllm_paged_attn = f.vllm_moe_marlin = f.cuda_graph = f.greedy_argmax = true;
  return f;
}

CompiledKernelFeatures CompiledKernelFeatures::m3_fast_path_with_source_fa2() {
  CompiledKernelFeatures f = m3_fast_path_without_fa2();
  f.fa2_source = true;
  return f;
}

HardwareCapabilities HardwareCapabilities::rtx4090_cuda(const CompiledKernelFeatures& features) {
  HardwareCapabilities h;
  h.backend = "cuda";
  h.compute_capability = "8.9";
  h.vram_bytes = 24 * kGiB;
  h.sm_count = 128;
  h.supported_kv_dtypes = {"fp16", "int8"};
  h.graph_support = true;
  h.compiled_features = features;
  return h;
}

HardwareCapabilities HardwareCapabilities::host_cpu(std::string_view backend) {
  HardwareCapabilities h;
  h.backend = backend;
  h.supported_dtypes = {"fp32"};
  h.supported_kv_dtypes = {"fp16", "bf16", "fp32", "int8"};
  return h;
}

std::optional<std::pair<int, int>> parse_compute_capability(std::string_view text) {
  const size_t dot = text.find('.');
  const auto major = parse_number(text.substr(0, dot));
  const auto minor = dot == std::string_view::npos ? std::optional<int>(0) : parse_number(text.substr(dot + 1));
  if (!major || !minor) return std::nullopt;
  return std::pair(*major, *minor);
}

int64_t vram_default_max_sequences(int64_t vram_bytes) {
  if (vram_bytes >= 20 * kGiB) return 32;
  if (vram_bytes >= 12 * kGiB) return 16;
  if (vram_bytes >= 8 * kGiB) return 8;
  return 4;
}

WorkloadProfile WorkloadProfile::serving_default_for_hardware(const HardwareCapabilities& hardware) {
  WorkloadProfile w;
  const std::string backend = to_lower(hardware.backend);
  if (backend == "cuda" || backend == "metal") {
    w.target_concurrency = hardware.vram_bytes ? vram_default_max_sequences(*hardware.vram_bytes) : 4;
  }
  return w;
}

WorkloadProfile WorkloadProfile::cpu_serving(const CpuHost& host) {
  WorkloadProfile w;
  w.target_concurrency = std::min(std::max<int64_t>(4 * host.cores, 4), vram_default_max_sequences(host.free_memory));
  w.priority = WorkloadPriority::kThroughput;
  return w;
}

WorkloadProfile WorkloadProfile::single_user() {
  WorkloadProfile w;
  w.serving_mode = "chat";
  w.priority = WorkloadPriority::kLatency;
  return w;
}

WorkloadProfile WorkloadProfile::m3_qwen3_30b_a3b_int4() {
  WorkloadProfile w;
  w.preset = std::string(kM3Preset);
  w.serving_mode = "bench_serve";
  w.target_concurrency = 32;
  w.prompt_length_class = "random_256";
  w.output_length_class = "random_128";
  w.priority = WorkloadPriority::kThroughput;
  return w;
}

Json to_json(const ModelCapabilities& m) {
  Json moe = nullptr;
  if (m.moe) {
    moe = {{"num_experts", m.moe->num_experts},
           {"experts_per_token", m.moe->experts_per_token},
           {"moe_intermediate_size", or_null(m.moe->moe_intermediate_size)}};
  }
  return {{"architecture", m.architecture},
          {"quantization", or_null(m.quantization)},
          {"moe", moe},
          {"max_context_len", or_null(m.max_context_len)},
          {"num_hidden_layers", or_null(m.num_hidden_layers)},
          {"head_dim", or_null(m.head_dim)},
          {"kv_heads", or_null(m.kv_heads)},
          {"estimated_weight_bytes", or_null(m.estimated_weight_bytes)},
          {"supported_dtypes", m.supported_dtypes},
          {"graph_safe_moe", m.graph_safe_moe}};
}

Json to_json(const HardwareCapabilities& h) {
  return {{"backend", h.backend},
          {"cuda_runtime", or_null(h.cuda_runtime)},
          {"compute_capability", or_null(h.compute_capability)},
          {"vram_bytes", or_null(h.vram_bytes)},
          {"sm_count", or_null(h.sm_count)},
          {"supported_dtypes", h.supported_dtypes},
          {"supported_kv_dtypes", h.supported_kv_dtypes},
          {"graph_support", h.graph_support},
          {"compiled_features", to_json(h.compiled_features)}};
}

Json to_json(const WorkloadProfile& w) {
  return {{"preset", or_null(w.preset)},
          {"serving_mode", w.serving_mode},
          {"target_concurrency", w.target_concurrency},
          {"prompt_length_class", w.prompt_length_class},
          {"output_length_class", w.output_length_class},
          {"priority", to_string(w.priority)}};
}

}  // namespace ferrum
