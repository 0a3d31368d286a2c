// From a model and settings to an engine that runs as resolved, and what one sees of the resolution.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/configure.h"
#include "engine/engine.h"

namespace ferrum {

// Where the record of the resolution goes; "" = nowhere, "-" = standard output.
struct RecordFiles {
  std::string effective_config;  // the document, docs/schema/effective_config.schema.json
  std::string decision_trace;    // JSONL, docs/schema/decision.schema.json
  std::string trace_file;        // what the engine did, for chrome://tracing; written when the command ends
};

struct ConfiguredEngine {
  Configuration configuration;  // with what the parity gate found
  std::unique_ptr<Engine> engine;
};

// Resolves, logs one line per decision that is not a default, loads, and writes the record. The engine is not started.
Result<ConfiguredEngine> load_configured(const std::string& model_path, const Settings& settings, RunKind kind,
                                         const RecordFiles& files, const LoadProgress& progress);

// The options of an engine for these settings, of the commands that run a model without an engine.
Result<EngineOptions> resolved_options(const std::string& model_path, const Settings& settings);

// Enters what the parity gate found into the decisions: a kernel that failed is a rejected candidate with its reason,
// and what is used instead is what was selected.
void record_kernels(const std::vector<KernelChoice>& kernels, RunConfig& run);

Status write_record(const RecordFiles& files, const Configuration& configuration);

// What is left when an engine has run: the trace, and the tables of its profiles on standard error. Complains itself.
void write_activity(const RecordFiles& files, const Engine& engine);

// Selected values by decision, for /health.
nlohmann::ordered_json summary_of(const RunConfig& run);

// "decision  value  source" and below each what lost, and why.
std::string render_decisions(const RunConfig& run);

}  // namespace ferrum
