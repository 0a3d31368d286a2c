// The values that were set, whatever they come from: checked when they are set, and kept with their source. What each
// key means and may hold is declared in config/keys.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "config/decision.h"
#include "config/keys.h"

namespace ferrum {

using Environment = std::vector<std::pair<std::string, std::string>>;  // name, value
// The FERRUM_* variables of this process. The only place that reads the environment for settings.
Environment ferrum_environment();
// Directories the system defines for the user's state, from XDG_STATE_HOME or HOME; "" where there is neither.
std::string user_state_directory();
// The same of configuration: XDG_CONFIG_HOME or HOME/.config.
std::string user_config_directory();

struct SettingEntry {
  std::string key;
  std::string effective_value;  // as written, trimmed; choices in canonical form; "(hidden)" of a secret
  Source source = Source::kDefault;
  std::vector<Effect> affects;
};

class Settings {
 public:
  // Every variable whose name begins with FERRUM_ must be a key (kInvalidArgument naming it and the nearest key) and
  // have a valid value (kInvalidArgument naming key, value and source). An empty value counts as not set.
  static Result<Settings> from_environment(const Environment& environment);

  // Sets a key (by name or alias). Each source keeps its value, and the source of highest precedence is heard, so the
  // order of calls does not matter; within one source the last value counts. A key and its alias with different values
  // from one source contradict each other: an error naming both.
  Status set(std::string_view name, std::string_view text, Source source);

  // nullopt where the key has no value. Asking for a key that is not declared, or with the wrong type, is our own bug.
  std::optional<bool> get_bool(std::string_view name) const;
  std::optional<int64_t> get_int(std::string_view name) const;
  std::optional<double> get_float(std::string_view name) const;
  std::optional<std::string> get_text(std::string_view name) const;  // kChoice and kText
  std::vector<std::string> get_list(std::string_view name) const;    // kList; empty where the key has no value
  Source source(std::string_view name) const;                        // kDefault where the key has no value
  bool has(std::string_view name) const;
  std::string describe(std::string_view name) const;  // "FERRUM_THREADS=4 (env)"; "" where the key has no value
  std::vector<SettingEntry> entries() const;          // sorted by key

 private:
  struct Value {
    std::string text;   // trimmed; choices in canonical form
    double number = 0;  // of kBool, kInt (exact below 2^53, which the ranges guarantee) and kFloat
    std::string name;   // under which it was set: the key's or an alias
  };
  using BySource = std::map<Source, Value>;  // the last one is heard

  static Status read(const KeySpec& key, std::string_view text, Value& value);
  const Value* find(std::string_view name, std::initializer_list<KeyType> types) const;
  const BySource* find_all(std::string_view name) const;

  std::map<std::string, BySource, std::less<>> values_;  // by the key's name; never empty inside
};

}  // namespace ferrum
