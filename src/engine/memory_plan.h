// Where the memory goes, computed before any of it is taken: the engine refuses to start on a plan that does not fit,
// and `ferrum plan` prints it. docs/memory.md explains each part.
//
// What is of one size by construction is asked of whoever will allocate it (workspace_bytes, scratch_bytes,
// Runner::kv_block_bytes), so that plan and allocation cannot disagree. The rest (tokenizer, program) is estimated, and
// the whole is measured against real processes (memory_plan_test.cc, bench/memory_plan.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/kv_sizing.h"
#include "engine/memory.h"
#include "io/gguf.h"

namespace ferrum {

enum class MemoryKind {
  kFile,       // pages of mapped files: clean, shared between processes, dropped and read again under pressure
  kAnonymous,  // heap and mappings of our own
  kDevice,     // of an accelerator
};
std::string_view to_string(MemoryKind kind);  // "file", "anonymous", "device"

struct MemoryPart {
  std::string name;
  MemoryKind kind = MemoryKind::kAnonymous;
  int64_t bytes = 0;
  std::string detail;  // how it comes about
};

struct MemoryDemand {
  EngineOptions options;
  std::shared_ptr<const Gguf> draft;  // the draft model's file; nullptr without one
  // What this process may still take; nullopt = unknown, then nothing is refused.
  std::optional<int64_t> available;
  // Memory of an accelerator that holds weights, KV and activations; nullopt = everything lies in host memory.
  std::optional<int64_t> device_bytes;
  ProcessMemory process;  // before the model is opened
};

// Of a model whose experts do not all have a place in memory, with all of them used alike.
struct ExpertStreaming {
  int experts = 0, places = 0;               // of a layer
  int64_t cache_bytes = 0;                   // of all layers' places
  double hit_share = 1;                      // of the experts that steps need, if all are used alike
  int64_t read_bytes_per_token = 0;          // of the file, for one sequence alone
  double tokens_per_second = 0;              // of one sequence, estimated from what was measured here; 0 = not measured
  double hit_seconds = 0, miss_seconds = 0;  // of a layer's experts for one token: all in memory, none
};

struct MemoryPlan {
  std::vector<MemoryPart> parts;
  std::vector<MemoryPart> weights;  // the weights by type, most bytes first; together they are part of "weights"
  EngineOptions options;            // as resolved
  int64_t kv_bytes_per_token = 0, kv_bytes_per_block = 0;  // the draft model's included
  int model_context = 0;
  std::optional<int64_t> available, device_bytes;
  int64_t resident_before = 0;  // of the process, before the model is opened; included in the parts
  std::optional<ExpertStreaming> streaming;
  std::string note;                 // what was reduced to fit, for the log; empty if nothing was
  Status verdict;                   // ok, or why it does not fit and what to change
  std::vector<std::string> advice;  // what fits instead; empty if it fits

  int64_t total(MemoryKind kind) const;
  int64_t host_total() const { return total(MemoryKind::kFile) + total(MemoryKind::kAnonymous); }
};

// Prompt positions of a step that may be scored for prompt_logprobs, besides one sampled position per sequence. Each
// costs a row of the vocabulary, 0.6 MB at 150,000 tokens.
inline constexpr int kScoredPositions = 64;
// Logit rows that the runner's workspace has for these options: one per sequence and some for scored prompts.
int planned_logit_rows(const EngineOptions& options);

// The error is of the file (no model Ferrum can run) or of the options (kInvalidArgument); a plan that does not fit is
// a plan with a verdict. options.threads must be resolved.
Result<MemoryPlan> plan_memory(const Gguf& file, const MemoryDemand& demand);

// What an open file holds in memory: the values of its keys and the table of its tensors.
int64_t metadata_bytes(const Gguf& file);

// Aligned columns for people, and one JSON object.
std::string render_table(const MemoryPlan& plan);
std::string render_json(const MemoryPlan& plan);

// `ferrum plan MODEL`: for this machine, or one with that much accelerator memory.
struct PlanReport {
  std::string text;
  bool fits = false;
};
Result<PlanReport> plan_file(const std::string& path, const EngineOptions& options, std::optional<int64_t> device_bytes,
                             bool json);

}  // namespace ferrum
