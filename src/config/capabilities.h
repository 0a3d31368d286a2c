// What is known before anything is resolved: the model, the machine, the build, and the work to be done. Plain values
// in the schema of the effective-config document (docs/configuration.md); absent facts are nullopt, never guessed.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferrum {

struct MoeCapabilities {
  int64_t num_experts = 0;
  int64_t experts_per_token = 0;
  std::optional<int64_t> moe_intermediate_size;
  std::optional<int64_t> expert_bytes = {};  // of all experts of all layers, as stored; not in the document
};

struct ModelCapabilities {
  std::string architecture = "unknown";
  std::optional<std::string> quantization;
  std::optional<MoeCapabilities> moe;
  std::optional<int64_t> max_context_len;
  std::optional<int64_t> num_hidden_layers;
  std::optional<int64_t> head_dim;
  std::optional<int64_t> kv_heads;
  std::optional<int64_t> estimated_weight_bytes;  // exact for a checkpoint that was read
  std::vector<std::string> supported_dtypes = {"fp16", "fp32"};
  bool graph_safe_moe = false;
  std::vector<std::string> weight_types;  // of the matrices, most bytes first ("Q4_K", ...); not in the document

  // Bytes of K and V of one token over all layers, in 16-bit elements; nullopt if a factor is unknown or it overflows.
  std::optional<int64_t> kv_bytes_per_token() const;

  static ModelCapabilities qwen3_30b_a3b_gptq_int4();
};

// A model that guesses for another one.
struct DraftCapabilities {
  ModelCapabilities model;
  std::string misfit;  // why it cannot; empty if it can
};

// What this build contains.
struct CompiledKernelFeatures {
  bool cuda = false;
  bool vllm_paged_attn = false;
  bool vllm_moe_marlin = false;
  bool cuda_graph = false;
  bool greedy_argmax = false;
  bool fa2_source = false;
  bool fa2_direct_ffi = false;

  static CompiledKernelFeatures m3_fast_path_without_fa2();
  static CompiledKernelFeatures m3_fast_path_with_source_fa2();
};

struct HardwareCapabilities {
  std::string backend = "unknown";
  std::optional<std::string> cuda_runtime;
  std::optional<std::string> compute_capability;  // "8.9"
  std::optional<int64_t> vram_bytes;
  std::optional<int64_t> sm_count;
  std::vector<std::string> supported_dtypes = {"fp16", "fp32"};
  std::vector<std::string> supported_kv_dtypes = {"fp16"};
  bool graph_support = false;
  CompiledKernelFeatures compiled_features;

  // The cpu and reference backends of this build.
  static HardwareCapabilities host_cpu(std::string_view backend);
  static HardwareCapabilities rtx4090_cuda(const CompiledKernelFeatures& features);
};

// What the cpu backend finds on this machine and in this build.
struct CpuHost {
  std::vector<std::string> isa = {"baseline"};  // levels it can run, slowest first (config/cpu_profile.h)
  int64_t cores = 1;                            // threads that compute well
  int64_t free_memory = 0;                      // bytes that weights and KV cache can take together
  std::string rounded_bf16 = "";                // its instruction for products of BF16 numbers; "": none
};

// What the cuda backend finds on this machine and in this build: a device that it can compute on, or why it cannot.
struct CudaHost {
  std::string reason = "no CUDA device was looked for";  // "" = it can
  std::string name;                                      // "NVIDIA H200"
  std::string driver;                                    // its version; "" = unknown
  int64_t free_memory = 0;                               // bytes of the device that nobody has taken
  HardwareCapabilities capabilities;                     // of the device, where it can
};

// Where this process can compute.
struct Hosts {
  CpuHost cpu;
  CudaHost cuda;
};

// {8, 9} of "8.9", {9, 0} of "9"; nullopt for anything else.
std::optional<std::pair<int, int>> parse_compute_capability(std::string_view text);
// Sequences that the memory of an accelerator suggests: 32 from 20 GiB, 16 from 12, 8 from 8, else 4.
int64_t vram_default_max_sequences(int64_t vram_bytes);

enum class WorkloadPriority { kLatency, kThroughput, kBalanced };

inline constexpr std::string_view kM3Preset = "m3_qwen3_30b_a3b_int4";

struct WorkloadProfile {
  std::optional<std::string> preset;
  std::string serving_mode = "openai_chat";
  int64_t target_concurrency = 1;
  std::string prompt_length_class = "unknown";
  std::string output_length_class = "unknown";
  WorkloadPriority priority = WorkloadPriority::kBalanced;

  bool is_m3_preset() const { return preset == kM3Preset; }

  // One sequence, except on an accelerator, where its memory says how many.
  static WorkloadProfile serving_default_for_hardware(const HardwareCapabilities& hardware);
  static WorkloadProfile m3_qwen3_30b_a3b_int4();
  // Serving from a CPU: its weights are read once per step, so sequences beside the first are cheap until the cores are
  // busy. Four per core, at most what serving_default would take from an accelerator with this much memory.
  static WorkloadProfile cpu_serving(const CpuHost& host);
  // One conversation at a terminal.
  static WorkloadProfile single_user();
};

nlohmann::ordered_json to_json(const ModelCapabilities& model);
nlohmann::ordered_json to_json(const HardwareCapabilities& hardware);
nlohmann::ordered_json to_json(const WorkloadProfile& workload);

}  // namespace ferrum
