// Every setting of Ferrum is declared once, here: its name in the environment, its command-line flag, its type and
// range. Values are checked when they are set, whatever they come from, and keep their source.
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

namespace ferrum {

enum class KeyType { kBool, kInt, kFloat, kChoice, kText };

enum class KeyScope { kEngine, kServer };  // which commands take the flag: all that load a model, or `serve` alone

struct KeySpec {
  std::string_view name;  // "FERRUM_THREADS"
  std::string_view flag;  // "--threads"
  KeyScope scope;
  KeyType type;
  double low = 0, high = 0;               // of kInt and kFloat, inclusive
  std::vector<std::string_view> choices;  // of kChoice, lower case
  std::string_view help;                  // one line
};

// In the order in which --help shows them. A key without a value leaves the default of whatever it configures
// (EngineOptions, ...) untouched.
const std::vector<KeySpec>& all_keys();
const KeySpec* find_key(std::string_view name);  // nullptr if unknown

enum class Source { kDefault, kEnvironment, kCommandLine };  // ascending precedence
std::string_view to_string(Source source);                   // "default", "env", "cli"

using Environment = std::vector<std::pair<std::string, std::string>>;  // name, value
// The FERRUM_* variables of this process. The only place that reads the environment for settings.
Environment ferrum_environment();
// Directories the system defines for the user's state, from XDG_STATE_HOME or HOME; "" where there is neither.
std::string user_state_directory();

class Settings {
 public:
  // Every variable whose name begins with FERRUM_ must be a key (kInvalidArgument naming it and the nearest key) and
  // have a valid value (kInvalidArgument naming key, value and source). An empty value counts as not set.
  static Result<Settings> from_environment(const Environment& environment);

  // Sets a key, unless a source of higher precedence has set it already; the value is checked either way.
  Status set(std::string_view name, std::string_view text, Source source);

  // nullopt where the key has no value. Asking for a key that is not declared, or with the wrong type, is our own bug.
  std::optional<bool> get_bool(std::string_view name) const;
  std::optional<int64_t> get_int(std::string_view name) const;
  std::optional<double> get_float(std::string_view name) const;
  std::optional<std::string> get_text(std::string_view name) const;  // kChoice (lower case) and kText
  Source source(std::string_view name) const;                        // kDefault where the key has no value

 private:
  struct Value {
    std::string text;   // trimmed; choices in lower case
    double number = 0;  // of kBool, kInt (exact below 2^53, which the ranges guarantee) and kFloat
    Source source = Source::kDefault;
  };
  const Value* find(std::string_view name, std::initializer_list<KeyType> types) const;

  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace ferrum
