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
  std::string message = "unknown setting " + printable(name);
  const std::string_view nearest = nearest_key(name);
  if (!nearest.empty()) message += "; did you mean " + std::string(nearest) + "?";
  return invalid_argument(message + " Unset it, or see `ferrum --help` for all settings.");
}

std::string choices_of(const KeySpec& key) {
  std::string list;
  for (std::string_view choice : key.choices) list += (list.empty() ? "" : ", ") + std::string(choice);
  return list;
}

// XDG Base Directory Specification 0.8: a relative path is to be ignored.
std::string xdg_directory(const char* variable, const char* below_home) {
  if (const char* set = std::getenv(variable); set != nullptr && set[0] == '/') return set;
  if (const char* home = std::getenv("HOME"); home != nullptr && home[0] == '/') return std::string(home) + below_home;
  return "";
}

}  // namespace

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

std::string user_state_directory() { return xdg_directory("XDG_STATE_HOME", "/.local/state"); }

std::string user_config_directory() { return xdg_directory("XDG_CONFIG_HOME", "/.config"); }

Result<Settings> Settings::from_environment(const Environment& environment) {
  Settings settings;
  for (const auto& [name, value] : environment) {
    if (!std::string_view(name).starts_with(kPrefix)) continue;
    FERRUM_RETURN_IF_ERROR(settings.set(name, value, Source::kEnvironment).with_context("environment"));
  }
  return settings;
}

Status Settings::read(const KeySpec& key, std::string_view text, Value& value) {
  value.text = std::string(trim(text));
  switch (key.type) {
    case KeyType::kBool: {
      FERRUM_ASSIGN_OR_RETURN(const bool parsed, parse_bool(text));
      value.number = parsed ? 1 : 0;
      return Status::ok();
    }
    case KeyType::kInt: {
      FERRUM_ASSIGN_OR_RETURN(const int64_t parsed,
                              parse_int(text, static_cast<int64_t>(key.low), static_cast<int64_t>(key.high)));
      value.number = static_cast<double>(parsed);
      return Status::ok();
    }
    case KeyType::kFloat: {
      FERRUM_ASSIGN_OR_RETURN(value.number, parse_float(text, key.low, key.high));
      return Status::ok();
    }
    case KeyType::kChoice: {
      const auto word = canonical_choice(key, text);
      if (!word) return invalid_argument("expected one of " + choices_of(key) + ", got " + quoted(text));
      value.text = *word;
      return Status::ok();
    }
    case KeyType::kText:
    case KeyType::kList: return Status::ok();
  }
  return Status::ok();
}

Status Settings::set(std::string_view name, std::string_view text, Source source) {
  const KeySpec* key = find_key(name);
  if (key == nullptr) return unknown_key(name);
  if (trim(text).empty() && source == Source::kEnvironment) return Status::ok();

  Value value;
  value.name = source == Source::kCommandLine ? key->flag : source == Source::kConfigFile ? key->toml : name;
  FERRUM_RETURN_IF_ERROR(read(*key, text, value).with_context(value.name));
  BySource& by_source = values_[std::string(key->name)];
  const auto present = by_source.find(source);
  if (present != by_source.end() && present->second.name != value.name && present->second.text != value.text) {
    return invalid_argument(present->second.name + "=" + present->second.text + " and " + value.name + "=" +
                            value.text + " (both from " + std::string(to_string(source)) +
                            ") are two names of one setting; set one of them");
  }
  by_source[source] = std::move(value);
  return Status::ok();
}

const Settings::BySource* Settings::find_all(std::string_view name) const {
  const KeySpec* key = find_key(name);
  FERRUM_CHECK(key != nullptr, "setting is not declared: " + std::string(name));
  const auto found = values_.find(key->name);
  return found == values_.end() ? nullptr : &found->second;
}

const Settings::Value* Settings::find(std::string_view name, std::initializer_list<KeyType> types) const {
  const BySource* all = find_all(name);
  FERRUM_CHECK(std::find(types.begin(), types.end(), find_key(name)->type) != types.end(),
               "setting has another type: " + std::string(name));
  return all == nullptr ? nullptr : &all->rbegin()->second;
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

std::vector<std::string> Settings::get_list(std::string_view name) const {
  const Value* value = find(name, {KeyType::kList});
  std::vector<std::string> words;
  std::string_view rest = value == nullptr ? std::string_view() : value->text;
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (const std::string_view word = trim(rest.substr(0, comma)); !word.empty()) words.emplace_back(word);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return words;
}

Source Settings::source(std::string_view name) const {
  const BySource* all = find_all(name);
  return all == nullptr ? Source::kDefault : all->rbegin()->first;
}

bool Settings::has(std::string_view name) const { return find_all(name) != nullptr; }

std::string Settings::describe(std::string_view name) const {
  const BySource* all = find_all(name);
  if (all == nullptr) return "";
  const auto& [source, value] = *all->rbegin();
  const KeySpec* key = find_key(name);
  return std::string(key->name) + "=" + (key->secret ? "(hidden)" : printable(value.text)) + " (" +
         std::string(to_string(source)) + ")";
}

std::vector<SettingEntry> Settings::entries() const {
  std::vector<SettingEntry> list;
  for (const auto& [name, by_source] : values_) {
    const auto& [source, value] = *by_source.rbegin();
    const KeySpec* key = find_key(name);
    list.push_back({name, key->secret ? "(hidden)" : value.text, source, key->affects});
  }
  return list;
}

}  // namespace ferrum
