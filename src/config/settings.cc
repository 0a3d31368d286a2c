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
  Value value{std::string(trim(text)), 0, source, std::string(name)};
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
    case KeyType::kBytes: {
      const Result<int64_t> parsed = parse_bytes(text, static_cast<int64_t>(key->high));
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
  const auto present = values_.find(key->name);
  if (present == values_.end()) {
    values_.emplace(key->name, std::move(value));
    return Status::ok();
  }
  const Value& old = present->second;
  if (old.source == source && old.name != value.name && old.text != value.text) {
    return invalid_argument(old.name + "=" + old.text + " and " + value.name + "=" + value.text + " (both from " +
                            std::string(to_string(source)) + ") are two names of one setting; set one of them");
  }
  if (old.source <= source) present->second = std::move(value);
  return Status::ok();
}

const Settings::Value* Settings::find(std::string_view name, std::initializer_list<KeyType> types) const {
  const KeySpec* key = find_key(name);
  FERRUM_CHECK(key != nullptr, "setting is not declared: " + std::string(name));
  FERRUM_CHECK(std::find(types.begin(), types.end(), key->type) != types.end(),
               "setting has another type: " + std::string(name));
  const auto found = values_.find(key->name);
  return found == values_.end() ? nullptr : &found->second;
}

std::optional<bool> Settings::get_bool(std::string_view name) const {
  const Value* value = find(name, {KeyType::kBool});
  return value == nullptr ? std::nullopt : std::optional<bool>(value->number != 0);
}

std::optional<int64_t> Settings::get_int(std::string_view name) const {
  const Value* value = find(name, {KeyType::kInt, KeyType::kBytes});
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

std::vector<SettingEntry> Settings::entries() const {
  std::vector<SettingEntry> list;
  for (const auto& [name, value] : values_) list.push_back({name, value.text, value.source, find_key(name)->affects});
  return list;
}

}  // namespace ferrum
