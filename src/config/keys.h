// The one table of settings: what each is called in every place, what it may hold, and what it touches. `--help`, the
// TOML schema, shell completion and docs/configuration.md are generated from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/decision.h"

namespace ferrum {

enum class KeyType { kBool, kInt, kFloat, kBytes, kChoice, kText };
enum class Stability {
  kStable,        // stays, with its meaning
  kExperimental,  // may change or go with any version
  kDiagnostic,    // for finding out what happens; changes no result
};
std::string_view to_string(Stability stability);

struct KeySpec {
  std::string_view name;                  // "FERRUM_THREADS"
  std::string_view flag;                  // "--threads"
  std::string_view toml;                  // "engine.threads"
  KeyType type = KeyType::kBool;
  double low = 0, high = 0;               // of kInt, kFloat and kBytes, inclusive; exact below 2^53
  std::vector<std::string_view> choices;  // of kChoice, lower case
  std::string_view fallback;              // the default as text; "" = decided by the resolver, help says how
  std::vector<Effect> affects;
  Stability stability = Stability::kStable;
  std::string_view help;                  // one line
  std::string_view alias;                 // a second environment name, "" = none
};

// In the order in which --help shows them.
const std::vector<KeySpec>& all_keys();
// By name or alias; nullptr if unknown.
const KeySpec* find_key(std::string_view name);
// By TOML path; nullptr if unknown.
const KeySpec* find_toml_key(std::string_view path);

}  // namespace ferrum
