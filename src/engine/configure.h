// From settings to a resolved run: the one way by which an engine gets its options.
#pragma once

#include <string>

#include "base/status.h"
#include "config/resolver.h"
#include "engine/engine.h"

namespace ferrum {

enum class RunKind {
  kServing,     // many sequences
  kSingleUser,  // one conversation, or one text
};

struct Configuration {
  ModelFiles files;  // that it was resolved for; empty where the models are supposed
  ResolverInput input;
  RunConfig run;
};

// Reads the model's metadata (not its weights) and the machine, and resolves. Errors as of opening the file and of
// resolve().
Result<Configuration> configure(const std::string& model_path, const Settings& settings, RunKind kind);

// The same of capabilities that are known already, or supposed.
struct ConfiguredModels {
  ModelCapabilities target;
  std::optional<DraftCapabilities> draft = std::nullopt;
};
Result<Configuration> configure(const ConfiguredModels& models, const Hosts& hosts, const Settings& settings,
                                RunKind kind);

// The options that `ferrum plan` plans with: as configure() resolves them for this machine, but where the model does
// not fit, what it would want, so that the plan can show what is missing. With vram_bytes the KV cache is left to the
// plan.
Result<EngineOptions> plan_options(const std::string& model_path, const Settings& settings, RunKind kind,
                                   std::optional<int64_t> vram_bytes);

// What the parity gate says of the model's kernels here, without loading the model.
Result<std::vector<KernelChoice>> check_kernels(const std::string& model_path, const EngineOptions& options);

// What an engine is told; everything is decided, nothing is "auto".
EngineOptions engine_options(const RunConfig& config);

}  // namespace ferrum
