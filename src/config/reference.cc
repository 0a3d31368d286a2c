#include "config/reference.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "config/parse.h"

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

std::string number(double value) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  if (value == static_cast<double>(static_cast<int64_t>(value))) {
    out << static_cast<int64_t>(value);
  } else {
    out << value;
  }
  return out.str();
}

std::string joined(const std::vector<std::string_view>& words, std::string_view separator) {
  std::string list;
  for (std::string_view word : words) list.append(list.empty() ? "" : separator).append(word);
  return list;
}

std::string effects_of(const KeySpec& key) {
  std::string list;
  for (Effect effect : key.affects) list.append(list.empty() ? "" : ", ").append(to_string(effect));
  return list;
}

struct Section {
  std::string_view table, title;
};
constexpr Section kSections[] = {
    {"engine", "Backend"},
    {"cpu", "CPU"},
    {"log", "Logging"},
    {"memory", "Memory"},
    {"scheduler", "Scheduling"},
    {"speculation", "Speculation"},
    {"server", "Server (`ferrum serve`)"},
    {"cuda", "CUDA"},
    {"moe", "Mixture of experts"},
    {"profile", "Profiles and traces"},
    {"kernels", "GPU kernels"},
};

std::string_view table_of(const KeySpec& key) { return key.toml.substr(0, key.toml.find('.')); }

std::string needs_of(const KeySpec& key) {
  switch (key.part) {
    case Part::kCore: return "";
    case Part::kCuda: return "CUDA build";
    case Part::kMoe: return "mixture of experts";
    case Part::kContiguousKv: return "contiguous KV, for false";
    case Part::kProfiler: return "profiler";
  }
  return "";
}

void write_row(std::ostringstream& out, const KeySpec& key) {
  out << "| `" << key.name << "`";
  for (std::string_view alias : key.aliases) out << "<br>`" << alias << "`";
  out << " | `" << key.flag << "` | `" << key.toml << "` | " << values_of(key) << " | "
      << (key.fallback.empty() ? "decided" : key.fallback) << " | " << effects_of(key) << " | "
      << to_string(key.stability) << " | " << needs_of(key) << " | " << key.help << " |\n";
}

constexpr char kIntroduction[] = R"(# Settings

<!-- Generated from src/config/key_table.cc by build/src/config/write_reference; a test compares. Do not edit. -->

Every setting can be given in four places. Higher ones win, whatever the order in which they are read:

1. the command line: `--threads 4`,
2. the environment: `FERRUM_THREADS=4`,
3. a file: `[cpu]` and `threads = 4` in `ferrum.toml`,
4. the defaults: a memory profile, a workload preset, the hardware, the model, in this order.

The file is `--config FILE`, else `./ferrum.toml`, else `$XDG_CONFIG_HOME/ferrum/ferrum.toml` (`~/.config/ferrum/ferrum.toml`);
the first that exists is read, and no other. Its JSON Schema is [schema/ferrum.toml.schema.json](schema/ferrum.toml.schema.json).

Values are read by one strict parser, everywhere alike: switches are 1/true/yes/on or 0/false/no/off (in the file `true` or
`false`; a flag alone, `--mmap-only`, is on), numbers are decimal and in range, case and surrounding space do not matter, an empty variable is not set. An unknown
name is an error that suggests the nearest one. A setting that cannot have its effect (of a part that this build lacks, or
beside another that excludes it) is an error, too: nothing is ignored. Two settings that contradict each other are both named,
with their sources. Within one place the last value counts; a second name of a setting (below the first) must say the same.

`decided` stands for a default that follows from model, machine and workload; `ferrum config` shows what and why.
Stability: *stable* settings keep their meaning; *experimental* ones may change or go; *diagnostic* ones are for finding out
what happens. *Needs* names the part of the engine without which only the value that holds anyway is accepted.
)";

Json schema_of(const KeySpec& key) {
  Json schema = {{"description", std::string(key.help)}};
  switch (key.type) {
    case KeyType::kBool: schema["type"] = "boolean"; break;
    case KeyType::kInt:
      schema["type"] = "integer";
      schema["minimum"] = static_cast<int64_t>(key.low);
      schema["maximum"] = static_cast<int64_t>(key.high);
      break;
    case KeyType::kFloat:
      schema["type"] = "number";
      schema["minimum"] = key.low;
      schema["maximum"] = key.high;
      break;
    case KeyType::kChoice: {
      Json values = Json::array();
      for (std::string_view choice : key.choices) {
        const Result<int64_t> count = parse_int(choice, 0, 1 << 30);
        if (count.is_ok()) values.push_back(*count);
        values.push_back(std::string(choice));
      }
      for (const auto& spelling : key.spellings) values.push_back(std::string(spelling.first));
      schema["enum"] = values;
      break;
    }
    case KeyType::kText: schema["type"] = "string"; break;
    case KeyType::kList:
      schema["type"] = {"array", "string"};
      schema["items"] = {{"type", "string"}};
      break;
  }
  return schema;
}

}  // namespace

std::string values_of(const KeySpec& key) {
  switch (key.type) {
    case KeyType::kBool: return "on, off";
    case KeyType::kInt:
    case KeyType::kFloat: return number(key.low) + " to " + number(key.high);
    case KeyType::kChoice: return joined(key.choices, ", ");
    case KeyType::kText: return "text";
    case KeyType::kList: return "words with commas between; the flag may be repeated";
  }
  return "";
}

std::string value_name(const KeySpec& key) {
  switch (key.type) {
    case KeyType::kBool: return kSwitchValue;
    case KeyType::kInt:
    case KeyType::kFloat: return "NUMBER";
    case KeyType::kChoice: return joined(key.choices, "|");
    case KeyType::kText:
    case KeyType::kList: return "TEXT";
  }
  return "";
}

std::string help_line(const KeySpec& key) {
  std::string line(key.help);
  std::string range = key.type == KeyType::kInt || key.type == KeyType::kFloat ? values_of(key) : "";
  if (!key.fallback.empty()) range += (range.empty() ? "default " : "; default ") + std::string(key.fallback);
  if (!range.empty()) line += " (" + range + ")";
  return line + " [" + std::string(key.name) + "]";
}

std::string configuration_markdown() {
  std::ostringstream out;
  out << kIntroduction;
  for (const Section& section : kSections) {
    out << "\n## " << section.title << "\n\n"
        << "| environment | flag | ferrum.toml | values | default | affects | stability | needs | |\n"
        << "|---|---|---|---|---|---|---|---|---|\n";
    for (const KeySpec& key : all_keys()) {
      if (table_of(key) == section.table) write_row(out, key);
    }
  }
  return out.str();
}

Json toml_schema() {
  Json tables = Json::object();
  for (const Section& section : kSections) {
    Json properties = Json::object();
    for (const KeySpec& key : all_keys()) {
      if (table_of(key) == section.table)
        properties[std::string(key.toml.substr(section.table.size() + 1))] = schema_of(key);
    }
    tables[std::string(section.table)] = {
        {"type", "object"}, {"properties", properties}, {"additionalProperties", false}};
  }
  return {{"$schema", "https://json-schema.org/draft/2020-12/schema"},
          {"title", "ferrum.toml"},
          {"description", "Settings of Ferrum; docs/configuration.md"},
          {"type", "object"},
          {"properties", tables},
          {"additionalProperties", false}};
}

CompletionFlag completion_flag(const KeySpec& key) {
  CompletionFlag flag{std::string(key.flag), std::string(key.help), {}, true};
  if (key.type == KeyType::kBool) flag.choices = {"on", "off"};
  for (std::string_view choice : key.choices) flag.choices.emplace_back(choice);
  return flag;
}

}  // namespace ferrum
