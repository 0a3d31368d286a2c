// From settings and capabilities to the run configuration: a pure function, and the only author of choices.
//
// Every choice is recorded with its source, its alternatives and why they lost. Nothing is repaired silently: a setting
// that cannot hold is an error naming it and the reason.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/capabilities.h"
#include "config/cpu_profile.h"
#include "config/decision.h"
#include "config/engine_parts.h"
#include "config/gpu_profile.h"
#include "config/moe_profile.h"
#include "config/settings.h"

namespace ferrum {

inline constexpr int64_t kDefaultBlockSize = 16;  // tokens per KV block
inline constexpr int64_t kDefaultKvBlocks = 2048;

// In the order of the candidates of their decisions.
enum class AttentionPrefill { kFa2Source, kFa2DirectFfi, kFaLayoutVarlen, kVllmPagedVarlen, kLegacyPagedVarlen };
enum class AttentionDecode { kVllmPagedV1Short, kVllmPagedV2, kLegacyPaged };
enum class MoeImplementation { kMarlinDeviceRoutePairIds, kMarlinDeviceRoute, kMarlin, kLegacy };
enum class AdmissionPolicy { kContinuous, kPromptTokenEstimate, kPrefillFirstUntilActive, kActiveDecodePrefillChunk };

struct RunConfig {
  // Where and how it computes.
  std::string backend;             // "cpu", "reference", "cuda"; "unknown" for unknown hardware
  std::string cpu_isa;             // one of cpu_isa_levels(); "" where the cpu does not compute
  int64_t threads = 0;             // 0 where the host is unknown
  std::string dtype;               // of activations: "fp32"
  bool rounded_bf16 = false;       // of backend cpu: BF16 weights meet activations rounded to BF16
  bool mmap_only = false;          // of backend cpu: weights stay as the file has them
  bool parity_gate = true;         // kernels are compared with the reference before they are used
  bool decode_op_profile = false;  // what is timed inside forward passes
  bool prefill_op_profile = false;
  bool decode_layer_profile = false;
  std::optional<CpuProfile> cpu_profile;  // of backend cpu on a known host
  std::optional<GpuProfile> gpu_profile;  // of backend cuda with a known compute capability
  AttentionPrefill attention_prefill = AttentionPrefill::kLegacyPagedVarlen;
  AttentionDecode attention_decode = AttentionDecode::kLegacyPaged;
  MoeImplementation moe = MoeImplementation::kLegacy;
  MoeProfile moe_profile;
  std::optional<int64_t> expert_cache_mib;  // of backend cpu, where not all experts have a place in memory
  bool moe_graph = false;
  bool cuda_graph = false;
  bool device_argmax = false;

  // Memory.
  int64_t kv_blocks = 0;
  int64_t block_size = kDefaultBlockSize;  // tokens
  std::string kv_dtype = "fp16";
  bool paged_kv = true;
  bool prefix_cache = true;
  int64_t swap_space_mib = 0;
  std::optional<int64_t> max_model_len;  // only where it was asked for
  int64_t context_length = 0;            // tokens per sequence as they result; 0 = the model says nothing

  // Scheduling.
  int64_t max_sequences = 0;
  int64_t max_batched_tokens = 0;
  int64_t max_waiting = 256;
  std::string queue_policy = "fcfs";
  int64_t ageing_seconds = 60;
  AdmissionPolicy admission = AdmissionPolicy::kContinuous;
  int64_t admission_value = 0;  // the N of "until N active", or of the chunk

  // Speculation, of requests that do not say.
  std::string speculation = "off";
  std::string draft_model;  // path; empty = none
  bool measure_guess_cost = true;
  int64_t max_draft = 0;
  int64_t ngram_min = 0, ngram_max = 0;

  std::vector<Decision> decisions;
  const Decision* find(std::string_view selection) const;  // nullptr if it was not made
};

struct ResolverInput {
  Settings settings;
  ModelCapabilities model;
  HardwareCapabilities hardware;
  WorkloadProfile workload;
  // What the cpu backend finds here. Without it (a hypothetical machine) the decisions that need it are not made.
  std::optional<CpuHost> host = std::nullopt;
  CudaHost cuda = {};  // why its backend is not taken, or what it has
  EngineParts parts = EngineParts::all();
  std::optional<DraftCapabilities> draft = std::nullopt;  // of FERRUM_DRAFT_MODEL, where it could be looked at
};

// kInvalidArgument "KEY: invalid override: reason" or "SELECTION: unsupported combination: reason", followed by the
// settings at fault with their sources; kUnsupported as of check_parts; kCapacity where no KV cache fits the memory.
Result<RunConfig> resolve(const ResolverInput& input);

// The document of `ferrum config --json` and --effective-config; docs/schema/effective_config.schema.json.
nlohmann::ordered_json effective_config_document(const ResolverInput& input, const RunConfig& config);
// One decision per line.
std::string decision_trace_jsonl(const RunConfig& config);
// "sha256:" and the digest of the compact JSON of the entries.
std::string settings_hash(const Settings& settings);

}  // namespace ferrum
