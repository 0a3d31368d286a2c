// A choice that was made, and everything one may ask about it.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ferrum {

// Where a value came from. The first six are sources of settings, in ascending precedence; the others appear in
// decisions that no setting made.
enum class Source {
  kDefault,
  kMemoryProfile,
  kConfigFile,
  kScriptCase,
  kEnvironment,
  kCommandLine,
  kModelMetadata,
  kHardwareCapability,
  kWorkloadPreset,
  kCompiledFeature,
};
std::string_view to_string(
    Source source);  // "default", "memory_profile", "config_file", "script_case", "env", "cli", ...

enum class Effect { kCorrectness, kPerformance, kMemory, kDiagnostics };
std::string_view to_string(Effect effect);

struct RejectedCandidate {
  std::string value;
  std::string reason;
};

struct Decision {
  std::string selection;  // what was decided: "kv_block_count"
  std::string selected;
  Source source = Source::kDefault;
  std::optional<std::string> source_key;  // the setting that decided, if one did
  std::vector<std::string> candidates;
  std::vector<RejectedCandidate> rejected;
  std::vector<Effect> affects;
};

// In the schema of the decision trace; docs/schema/decision.schema.json.
nlohmann::ordered_json to_json(const Decision& decision);
nlohmann::ordered_json to_json(const std::vector<Effect>& effects);

}  // namespace ferrum
