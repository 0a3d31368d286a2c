// The one table of settings: what each is called in every place, what it may hold, and what it touches. `--help`, the
// TOML schema, shell completion and docs/configuration.md are generated from it (config/reference.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/decision.h"

namespace ferrum {

enum class KeyType { kBool, kInt, kFloat, kChoice, kText, kList };  // a list: words with commas between them
std::string_view to_string(KeyType type);                           // "bool", "integer", ...

enum class Stability {
  kStable,        // stays, with its meaning
  kExperimental,  // may change or go with any version
  kDiagnostic,    // for finding out what happens; changes no result
};
std::string_view to_string(Stability stability);

enum class KeyScope { kEngine, kServer };  // which commands take the flag: all that load a model, or `serve` alone

// What a build must contain for a key to have an effect (config/engine_parts.h).
enum class Part { kCore, kCuda, kMoe, kContiguousKv, kProfiler };

struct KeySpec {
  std::string_view name;  // "FERRUM_THREADS"
  std::string_view flag;  // "--threads"
  std::string_view toml;  // "cpu.threads": always a table and a key
  KeyType type = KeyType::kBool;
  std::string_view help;                  // one line
  double low = 0, high = 0;               // of kInt and kFloat, inclusive; exact below 2^53
  std::vector<std::string_view> choices;  // of kChoice, lower case
  // Of kChoice: other spellings of choices, {"f16", "fp16"}.
  std::vector<std::pair<std::string_view, std::string_view>> spellings;
  std::string_view fallback;  // the default as text; "" = decided by the resolver, `help` says how
  std::vector<Effect> affects;
  Stability stability = Stability::kStable;
  KeyScope scope = KeyScope::kEngine;
  Part part = Part::kCore;
  std::vector<std::string_view> aliases;  // further names in the environment
  bool secret = false;                    // the value is never shown
};

// In the order in which --help shows them.
const std::vector<KeySpec>& all_keys();
// By name or alias; nullptr if unknown.
const KeySpec* find_key(std::string_view name);
// By TOML path; nullptr if unknown.
const KeySpec* find_toml_key(std::string_view path);
// The canonical form of a kChoice's value (lower case, spellings replaced); nullopt if it is none of the choices.
std::optional<std::string> canonical_choice(const KeySpec& key, std::string_view text);

}  // namespace ferrum
