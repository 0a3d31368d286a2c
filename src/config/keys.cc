#include "config/keys.h"

#include <algorithm>

#include "config/key_table.h"
#include "config/parse.h"

namespace ferrum {

std::string_view to_string(KeyType type) {
  switch (type) {
    case KeyType::kBool: return "bool";
    case KeyType::kInt: return "integer";
    case KeyType::kFloat: return "number";
    case KeyType::kChoice: return "choice";
    case KeyType::kText: return "text";
    case KeyType::kList: return "list";
  }
  return "unknown";
}

std::string_view to_string(Stability stability) {
  switch (stability) {
    case Stability::kStable: return "stable";
    case Stability::kExperimental: return "experimental";
    case Stability::kDiagnostic: return "diagnostic";
  }
  return "unknown";
}

const std::vector<KeySpec>& all_keys() {
  static const std::vector<KeySpec> keys = make_key_table();
  return keys;
}

const KeySpec* find_key(std::string_view name) {
  for (const KeySpec& key : all_keys()) {
    if (key.name == name) return &key;
    if (std::find(key.aliases.begin(), key.aliases.end(), name) != key.aliases.end()) return &key;
  }
  return nullptr;
}

const KeySpec* find_toml_key(std::string_view path) {
  for (const KeySpec& key : all_keys()) {
    if (key.toml == path) return &key;
  }
  return nullptr;
}

std::optional<std::string> canonical_choice(const KeySpec& key, std::string_view text) {
  std::string word = to_lower(trim(text));
  for (const auto& [spelling, meaning] : key.spellings) {
    if (word == spelling) word = meaning;
  }
  if (std::find(key.choices.begin(), key.choices.end(), word) == key.choices.end()) return std::nullopt;
  return word;
}

}  // namespace ferrum
