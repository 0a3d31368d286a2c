#include "config/decision.h"

#include <nlohmann/json.hpp>

namespace ferrum {

std::string_view to_string(Source source) {
  switch (source) {
    case Source::kDefault: return "default";
    case Source::kMemoryProfile: return "memory_profile";
    case Source::kConfigFile: return "config_file";
    case Source::kScriptCase: return "script_case";
    case Source::kEnvironment: return "env";
    case Source::kCommandLine: return "cli";
    case Source::kModelMetadata: return "model_metadata";
    case Source::kHardwareCapability: return "hardware_capability";
    case Source::kWorkloadPreset: return "workload_preset";
    case Source::kCompiledFeature: return "compiled_feature";
  }
  return "unknown";
}

std::string_view to_string(Effect effect) {
  switch (effect) {
    case Effect::kCorrectness: return "correctness";
    case Effect::kPerformance: return "performance";
    case Effect::kMemory: return "memory";
    case Effect::kDiagnostics: return "diagnostics";
  }
  return "unknown";
}

nlohmann::ordered_json to_json(const std::vector<Effect>& effects) {
  auto list = nlohmann::ordered_json::array();
  for (Effect effect : effects) list.push_back(to_string(effect));
  return list;
}

nlohmann::ordered_json to_json(const Decision& d) {
  auto rejected = nlohmann::ordered_json::array();
  for (const RejectedCandidate& r : d.rejected) rejected.push_back({{"value", r.value}, {"reason", r.reason}});
  return {{"schema_version", 1},
          {"selection", d.selection},
          {"selected", d.selected},
          {"source", to_string(d.source)},
          {"source_key", d.source_key ? nlohmann::ordered_json(*d.source_key) : nlohmann::ordered_json(nullptr)},
          {"candidates", d.candidates},
          {"rejected", rejected},
          {"affects", to_json(d.affects)}};
}

}  // namespace ferrum
