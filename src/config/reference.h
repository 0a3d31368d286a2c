// What is generated from the table of settings: lines of --help, docs/configuration.md, the JSON Schema of ferrum.toml
// and shell completion. `write_reference docs` writes the committed files; a test compares them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/keys.h"

namespace ferrum {

// "Compute threads; 0 = ... (0 to 1024; default 0) [FERRUM_THREADS]"
std::string help_line(const KeySpec& key);
inline constexpr const char* kSwitchValue = "[on|off]";  // of a switch, which may stand alone
// What stands for the value in --help: "[on|off]", "NUMBER", "auto|cpu|...", "TEXT".
std::string value_name(const KeySpec& key);
// The values and the default, for people: "0 to 1024", "auto, cpu".
std::string values_of(const KeySpec& key);

// docs/configuration.md.
std::string configuration_markdown();

// docs/schema/ferrum.toml.schema.json: JSON Schema 2020-12 of the file as JSON data, for editors.
nlohmann::ordered_json toml_schema();

// Completion scripts ----------------------------------------------------------------------------------------------

struct CompletionFlag {
  std::string flag;                  // "--threads"
  std::string help;                  // one line
  std::vector<std::string> choices;  // of its value; empty where it is free
  bool takes_value = true;
};
struct CompletionCommand {
  std::string name, help;
  std::vector<CompletionFlag> flags;
  std::vector<std::string> words;  // of its first argument; empty: files
};

enum class Shell { kBash, kZsh, kFish };
std::string completion_script(Shell shell, std::span<const CompletionCommand> commands);

// The flag of a setting.
CompletionFlag completion_flag(const KeySpec& key);

}  // namespace ferrum
