// The one strict parser of settings: every layer (environment, command line, later the file) reads values through it,
// so that "1", "on" and " TRUE " mean the same everywhere and "2" is an error everywhere.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ferrum {

// All ignore surrounding white space and case. Errors say what was expected and quote the value; they do not know the
// key: callers add it with Status::with_context.
Result<bool> parse_bool(std::string_view text);                               // 1/true/yes/on, 0/false/no/off
Result<int64_t> parse_int(std::string_view text, int64_t low, int64_t high);  // decimal, whole text
Result<double> parse_float(std::string_view text, double low, double high);   // finite, '.' in every locale

// Bytes from 0 to high: digits with an optional unit K, M, G or T (powers of 1024, as in "24G", "24GiB", "1.5g").
Result<int64_t> parse_bytes(std::string_view text, int64_t high);

// The text without white space at either end.
std::string_view trim(std::string_view text);
std::string to_lower(std::string_view text);  // ASCII letters only

// The number of single-character edits between two words (Levenshtein 1966), for "did you mean".
int edit_distance(std::string_view a, std::string_view b);

}  // namespace ferrum
