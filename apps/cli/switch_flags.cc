#include "apps/cli/switch_flags.h"

#include <algorithm>

#include "apps/cli/generation_settings.h"
#include "config/keys.h"
#include "config/parse.h"

namespace ferrum {

std::vector<std::string> switch_flags() {
  std::vector<std::string> flags;
  for (const KeySpec& key : all_keys()) {
    if (key.type == KeyType::kBool && !key.flag.empty()) flags.emplace_back(key.flag);
  }
  for (const GenerationKnob& knob : generation_knobs()) {
    if (knob.is_switch) flags.emplace_back(knob.flags);
  }
  return flags;
}

std::vector<std::string> with_switch_values(std::vector<std::string> words, std::span<const std::string> switches) {
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (std::find(switches.begin(), switches.end(), words[i]) == switches.end()) continue;
    if (i + 1 < words.size() && parse_bool(words[i + 1]).is_ok()) continue;
    words[i] += "=on";
  }
  return words;
}

}  // namespace ferrum
