// Text to numbers as Python's int() and float() read it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/status.h"

namespace ferrum::jinja {

// White space around and underscores between digits are allowed, and the prefix of the base. nullopt: not a number.
// An error: a number beyond 64 bits.
Result<std::optional<int64_t>> parse_integer(std::string_view text, int base);
std::optional<double> parse_float(std::string_view text);

}  // namespace ferrum::jinja
