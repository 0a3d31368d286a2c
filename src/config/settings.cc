#include "config/settings.h"

#include <algorithm>
#include <cstdlib>

#include "base/check.h"
#include "base/quote.h"
#include "config/parse.h"

extern char** environ;

namespace ferrum {
namespace {

constexpr std::string_view kPrefix = "FERRUM_";

std::string_view nearest_key(std::string_view name) {
  std::string_view best;
  int best_distance = 0;
  for (const KeySpec& key : all_keys()) {
    const int distance = edit_distance(name, key.name);
    if (best.empty() || distance < best_distance) {
      best = key.name;
      best_distance = distance;
    }
  }
  return best_distance <= 6 ? best : std::string_view();
}

Status unknown_key(std::string_view name) {
  std::string message = "unknown setting " + std::string(name);
  const std::string_view nearest = nearest_key(name);
  if (!nearest.empty()) message += "; did you mean " + std::string(nearest) + "?";
  return invalid_argument(message + " Unset it, or see `ferrum --help` for all settings.");
}

std::string choices_of(const KeySpec& key) {
  std::string list;
  for (std::string_view choice : key.choices) list += (list.empty() ? "" : ", ") + std::string(choice);
  return list;
}

using Choices = std::vector<std::string_view>;

KeySpec choice(std::string_view name, std::string_view flag, Choices choices, std::string_view help) {
  return {name, flag, KeyScope::kEngine, KeyType::kChoice, 0, 0, std::move(choices), help};
}
KeySpec integer(std::string_view name, std::string_view flag, double low, double high, std::string_view help) {
  return {name, flag, KeyScope::kEngine, KeyType::kInt, low, high, {}, help};
}
KeySpec fraction(std::string_view name, std::string_view flag, double low, double high, std::string_view help) {
  return {name, flag, KeyScope::kEngine, KeyType::kFloat, low, high, {}, help};
}
KeySpec text(std::string_view name, std::string_view flag, std::string_view help) {
  return {name, flag, KeyScope::kEngine, KeyType::kText, 0, 0, {}, help};
}
KeySpec of_server(KeySpec key) {
  key.scope = KeyScope::kServer;
  return key;
}

}  // namespace

const std::vector<KeySpec>& all_keys() {
  static const std::vector<KeySpec> keys = {
      choice("FERRUM_LOG_LEVEL", "--log-level", {"trace", "debug", "info", "warn", "error", "off"},
             "How much is written to standard error"),
      choice("FERRUM_BACKEND", "--backend", {"cpu", "reference"}, "Which implementation computes"),
      choice("FERRUM_CPU_ISA", "--isa", {"auto", "baseline", "avx2", "avx512"},
             "Instruction set of the cpu backend; one the machine lacks is an error"),
      integer("FERRUM_THREADS", "--threads", 0, 1024, "Compute threads; 0 = the cores this process may use"),
      integer("FERRUM_CONTEXT", "--context", 0, 1 << 30, "Tokens per sequence; 0 = what the model allows"),
      integer("FERRUM_MAX_SEQS", "--max-seqs", 1, 4096, "Sequences that run at once"),
      integer("FERRUM_MAX_BATCHED_TOKENS", "--max-batched-tokens", 1, 65536, "Token budget of one step"),
      integer("FERRUM_MAX_WAITING", "--max-waiting", 0, 1 << 20,
              "Requests that may wait for a place; further ones are refused"),
      integer("FERRUM_BLOCK_SIZE", "--block-size", 1, 1024, "Tokens per block of the KV cache"),
      integer("FERRUM_KV_BLOCKS", "--kv-blocks", 0, 2147483648.0,
              "Blocks of the KV cache; 0 = computed from sequences, context and free memory"),
      fraction("FERRUM_KV_MEMORY_FRACTION", "--kv-memory-fraction", 0.001, 1,
               "Share of the free memory that the KV cache may take"),
      choice("FERRUM_KV_DTYPE", "--kv-dtype", {"f16", "bf16", "f32"}, "Element type of the KV cache"),
      of_server(text("FERRUM_HOST", "--host", "Address to listen on (127.0.0.1)")),
      of_server(integer("FERRUM_PORT", "--port", 0, 65535, "Port to listen on (8080); 0 = any free one")),
      of_server(text("FERRUM_API_KEY", "--api-key",
                     "Key that clients must send; better in the environment, where `ps` does not show it")),
  };
  return keys;
}

const KeySpec* find_key(std::string_view name) {
  for (const KeySpec& key : all_keys()) {
    if (key.name == name) return &key;
  }
  return nullptr;
}

std::string_view to_string(Source source) {
  switch (source) {
    case Source::kDefault: return "default";
    case Source::kEnvironment: return "env";
    case Source::kCommandLine: return "cli";
  }
  return "unknown";
}

Environment ferrum_environment() {
  Environment found;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view line(*entry);
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || !line.starts_with(kPrefix)) continue;
    found.emplace_back(line.substr(0, equals), line.substr(equals + 1));
  }
  return found;
}

std::string user_state_directory() {
  // XDG Base Directory Specification 0.8: a relative path is to be ignored.
  if (const char* state = std::getenv("XDG_STATE_HOME"); state != nullptr && state[0] == '/') return state;
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/')
    return std::string(home) + "/.local/state";
  return "";
}

Result<Settings> Settings::from_environment(const Environment& environment) {
  Settings settings;
  for (const auto& [name, value] : environment) {
    if (!std::string_view(name).starts_with(kPrefix)) continue;
    FERRUM_RETURN_IF_ERROR(settings.set(name, value, Source::kEnvironment).with_context("environment"));
  }
  return settings;
}

Status Settings::set(std::string_view name, std::string_view text, Source source) {
  const KeySpec* key = find_key(name);
  if (key == nullptr) return unknown_key(name);
  if (trim(text).empty() && source == Source::kEnvironment) return Status::ok();

  const std::string where = source == Source::kCommandLine ? std::string(key->flag) : std::string(name);
  Value value{std::string(trim(text)), 0, source};
  switch (key->type) {
    case KeyType::kBool: {
      const Result<bool> parsed = parse_bool(text);
      if (!parsed.is_ok()) return parsed.status().with_context(where);
      value.number = *parsed ? 1 : 0;
      break;
    }
    case KeyType::kInt: {
      const Result<int64_t> parsed = parse_int(text, static_cast<int64_t>(key->low), static_cast<int64_t>(key->high));
      if (!parsed.is_ok()) return parsed.status().with_context(where);
      value.number = static_cast<double>(*parsed);
      break;
    }
    case KeyType::kFloat: {
      const Result<double> parsed = parse_float(text, key->low, key->high);
      if (!parsed.is_ok()) return parsed.status().with_context(where);
      value.number = *parsed;
      break;
    }
    case KeyType::kChoice:
      value.text = to_lower(value.text);
      if (std::find(key->choices.begin(), key->choices.end(), value.text) == key->choices.end()) {
        return invalid_argument(where + ": expected one of " + choices_of(*key) + ", got \"" + std::string(text) +
                                "\"");
      }
      break;
    case KeyType::kText: break;
  }
  if (this->source(name) <= source) values_[std::string(name)] = std::move(value);
  return Status::ok();
}

const Settings::Value* Settings::find(std::string_view name, std::initializer_list<KeyType> types) const {
  const KeySpec* key = find_key(name);
  FERRUM_CHECK(key != nullptr, "setting is not declared: " + std::string(name));
  FERRUM_CHECK(std::find(types.begin(), types.end(), key->type) != types.end(),
               "setting has another type: " + std::string(name));
  const auto found = values_.find(name);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<bool> Settings::get_bool(std::string_view name) const {
  const Value* value = find(name, {KeyType::kBool});
  return value == nullptr ? std::nullopt : std::optional<bool>(value->number != 0);
}

std::optional<int64_t> Settings::get_int(std::string_view name) const {
  const Value* value = find(name, {KeyType::kInt});
  return value == nullptr ? std::nullopt : std::optional<int64_t>(static_cast<int64_t>(value->number));
}

std::optional<double> Settings::get_float(std::string_view name) const {
  const Value* value = find(name, {KeyType::kFloat});
  return value == nullptr ? std::nullopt : std::optional<double>(value->number);
}

std::optional<std::string> Settings::get_text(std::string_view name) const {
  const Value* value = find(name, {KeyType::kChoice, KeyType::kText});
  return value == nullptr ? std::nullopt : std::optional<std::string>(value->text);
}

Source Settings::source(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? Source::kDefault : found->second.source;
}

}  // namespace ferrum
