// Text from outside, made safe to print in a message or a terminal.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ferrum {

// The text with control characters and bytes that are not UTF-8 written as \n, \t or \xNN; cut after max_bytes of input
// (at a character), with "..." behind.
std::string printable(std::string_view text, size_t max_bytes = 120);
// 'text', as above: for names in error messages.
std::string quoted(std::string_view text, size_t max_bytes = 120);

// Length of the UTF-8 sequence that text starts with (1 to 4), 0 if it does not start with a valid one (RFC 3629: no
// overlong forms, no surrogates, nothing above U+10FFFF).
size_t utf8_sequence_length(std::string_view text);

}  // namespace ferrum
