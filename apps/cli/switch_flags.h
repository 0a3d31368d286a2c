// Flags that switch something on or off may stand alone: `--mmap-only` says what `--mmap-only on` says.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace ferrum {

// The words of a command line, without the program's name, with "=on" added to each of `switches` that no value follows
// (config/parse.h says which words are values; what follows may also be the model). Words after "--" stay as they are.
std::vector<std::string> with_switch_values(std::vector<std::string> words, std::span<const std::string> switches);

}  // namespace ferrum
