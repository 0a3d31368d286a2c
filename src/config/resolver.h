// From settings and capabilities to the run configuration: a pure function, and the only author of choices.
//
// Every choice is recorded with its source, its alternatives and why they lost. Nothing is repaired silently: a setting
// that cannot hold is an error naming it and the reason.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "config/capabilities.h"
#include "config/decision.h"
#include "config/settings.h"

namespace ferrum {

inline constexpr int64_t kDefaultBlockSize = 16;  // tokens per KV block
inline constexpr int64_t kDefaultKvBlocks = 2048;

enum class AttentionPrefill { kFa2Source, kFa2DirectFfi, kFaLayoutVarlen, kVllmPagedVarlen, kLegacyPagedVarlen };
enum class AttentionDecode { kVllmPagedV1Short, kVllmPagedV2, kLegacyPaged };
enum class MoeImplementation { kMarlinDeviceRoutePairIds, kMarlinDeviceRoute, kMarlin, kLegacy };
enum class AdmissionPolicy { kContinuous, kPromptTokenEstimate, kPrefillFirstUntilActive, kActiveDecodePrefillChunk };

struct RunConfig {
  AttentionPrefill attention_prefill = AttentionPrefill::kLegacyPagedVarlen;
  AttentionDecode attention_decode = AttentionDecode::kLegacyPaged;
  MoeImplementation moe = MoeImplementation::kLegacy;
  bool moe_graph = false;
  int64_t kv_blocks = 0;
  int64_t max_sequences = 0;
  int64_t max_batched_tokens = 0;
  std::optional<int64_t> max_model_len;
  bool prefix_cache = false;
  AdmissionPolicy admission = AdmissionPolicy::kContinuous;
  int64_t admission_value = 0;  // the N of "until N active", or of the chunk
  bool device_argmax = false;

  std::vector<Decision> decisions;
  const Decision* find(std::string_view selection) const;  // nullptr if it was not made
};

struct ResolverInput {
  Settings settings;
  ModelCapabilities model;
  HardwareCapabilities hardware;
  WorkloadProfile workload;
};

// kInvalidArgument "KEY: invalid override: reason" or "SELECTION: unsupported combination: reason".
Result<RunConfig> resolve(const ResolverInput& input);

// The document of `ferrum config --json` and --effective-config; docs/schema/effective_config.schema.json.
nlohmann::ordered_json effective_config_document(const ResolverInput& input, const RunConfig& config);
// One decision per line.
std::string decision_trace_jsonl(const RunConfig& config);
// "sha256:" and the digest of the compact JSON of the entries.
std::string settings_hash(const Settings& settings);

}  // namespace ferrum
