#include "config/parse.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <vector>

#include "base/quote.h"

namespace ferrum {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }

}  // namespace

std::string_view trim(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

std::string to_lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

Result<bool> parse_bool(std::string_view text) {
  const std::string word = to_lower(trim(text));
  for (const char* yes : {"1", "true", "yes", "on"}) {
    if (word == yes) return true;
  }
  for (const char* no : {"0", "false", "no", "off"}) {
    if (word == no) return false;
  }
  return invalid_argument("expected 1/true/yes/on or 0/false/no/off, got " + ferrum::quoted(text));
}

Result<int64_t> parse_int(std::string_view text, int64_t low, int64_t high) {
  const std::string_view digits = trim(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (whole && value >= low && value <= high) return value;
  return invalid_argument("expected an integer from " + std::to_string(low) + " to " + std::to_string(high) + ", got " +
                          ferrum::quoted(text));
}

Result<double> parse_float(std::string_view text, double low, double high) {
  const std::string_view digits = trim(text);
  double value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  const bool whole = error == std::errc() && end == digits.data() + digits.size();
  if (whole && std::isfinite(value) && value >= low && value <= high) return value;
  char range[80];
  std::snprintf(range, sizeof(range), "expected a number from %g to %g, got ", low, high);
  return invalid_argument(range + ferrum::quoted(text));
}

Result<int64_t> parse_bytes(std::string_view text, int64_t high) {
  const std::string word = to_lower(trim(text));
  double value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value, std::chars_format::fixed);
  if (error == std::errc() && value >= 0) {
    const std::string_view unit(end, static_cast<size_t>(word.data() + word.size() - end));
    static constexpr struct {
      std::string_view name;
      int shift;
    } kUnits[] = {{"", 0},     {"b", 0},  {"k", 10},  {"kb", 10},  {"kib", 10}, {"m", 20},  {"mb", 20},
                  {"mib", 20}, {"g", 30}, {"gb", 30}, {"gib", 30}, {"t", 40},   {"tb", 40}, {"tib", 40}};
    for (const auto& u : kUnits) {
      const double bytes = value * static_cast<double>(int64_t{1} << u.shift);
      if (unit == u.name && bytes <= static_cast<double>(high)) return static_cast<int64_t>(bytes);
    }
  }
  return invalid_argument("expected bytes up to " + std::to_string(high) + ", as in 24G or 512M, got " + quoted(text));
}

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);  // distances of a's prefix to every prefix of b
  std::iota(row.begin(), row.end(), 0);
  for (size_t i = 0; i < a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i) + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const int substituted = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substituted, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace ferrum
