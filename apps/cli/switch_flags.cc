#include "apps/cli/switch_flags.h"

#include <algorithm>

#include "config/parse.h"

namespace ferrum {

std::vector<std::string> with_switch_values(std::vector<std::string> words, std::span<const std::string> switches) {
  for (size_t i = 0; i < words.size() && words[i] != "--"; ++i) {
    if (std::find(switches.begin(), switches.end(), words[i]) == switches.end()) continue;
    if (i + 1 < words.size() && parse_bool(words[i + 1]).is_ok()) continue;
    words[i] += "=on";
  }
  return words;
}

}  // namespace ferrum
