#include <openssl/sha.h>
#include <nlohmann/json.hpp>

#include "config/resolver.h"

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

Json entries_of(const Settings& settings) {
  Json entries = Json::array();
  for (const SettingEntry& e : settings.entries()) {
    entries.push_back({{"key", e.key},
                       {"effective_value", e.effective_value},
                       {"source", to_string(e.source)},
                       {"affects", to_json(e.affects)}});
  }
  return entries;
}

}  // namespace

std::string settings_hash(const Settings& settings) {
  const std::string text = entries_of(settings).dump();
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out = "sha256:";
  for (unsigned char byte : digest) {
    out += kHex[byte >> 4];
    out += kHex[byte & 15];
  }
  return out;
}

Json effective_config_document(const ResolverInput& input, const RunConfig& config) {
  Json decisions = Json::array();
  for (const Decision& d : config.decisions) decisions.push_back(to_json(d));
  return {{"schema_version", 1},
          {"preset", input.workload.preset ? Json(*input.workload.preset) : Json(nullptr)},
          {"env_hash", settings_hash(input.settings)},
          {"entries", entries_of(input.settings)},
          {"model_capabilities", to_json(input.model)},
          {"hardware_capabilities", to_json(input.hardware)},
          {"workload_profile", to_json(input.workload)},
          {"decisions", decisions}};
}

std::string decision_trace_jsonl(const RunConfig& config) {
  std::string out;
  for (const Decision& d : config.decisions) out += to_json(d).dump() + "\n";
  return out;
}

}  // namespace ferrum
