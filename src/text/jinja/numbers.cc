#include "text/jinja/numbers.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

// Without the underscores that stand between two characters; nullopt where one stands elsewhere.
std::optional<std::string> without_underscores(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || text[i - 1] == '_') {
      return std::nullopt;
    }
  }
  return out;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// The base that "0x", "0o" or "0b" in front of a number names; 0 where there is none.
int prefix_base(std::string_view text) {
  if (text.size() < 2 || text[0] != '0') return 0;
  const char kind = lower(text[1]);
  return kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
}

}  // namespace

Result<std::optional<int64_t>> parse_integer(std::string_view text, int base) {
  const std::optional<int64_t> none;
  text = strip(text, nullptr, 0);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const int prefix = prefix_base(text);
  if (prefix != 0 && (base == prefix || base == 0)) {
    text.remove_prefix(2);
    base = prefix;
  } else if (base == 0) {
    base = 10;
  }
  const auto digits = without_underscores(text);
  if (base < 2 || base > 36 || !digits || digits->empty() || digits->front() == '-') return none;
  uint64_t magnitude = 0;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, magnitude, base);
  if (stop != end) return none;
  const uint64_t limit = static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) + (negative ? 1 : 0);
  if (error != std::errc() || magnitude > limit)
    return invalid_argument("the integer '" + std::string(text.substr(0, 40)) + "' does not fit 64 bits");
  return std::optional<int64_t>(static_cast<int64_t>(negative ? uint64_t{0} - magnitude : magnitude));
}

std::optional<double> parse_float(std::string_view text) {
  text = strip(text, nullptr, 0);
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  auto digits = without_underscores(text);
  if (!digits || digits->empty()) return std::nullopt;
  for (char& c : *digits) c = lower(c);
  const double sign = negative ? -1.0 : 1.0;
  if (*digits == "inf" || *digits == "infinity") return sign * std::numeric_limits<double>::infinity();
  if (*digits == "nan") return std::numeric_limits<double>::quiet_NaN();
  const bool starts_well = (digits->front() >= '0' && digits->front() <= '9') || digits->front() == '.';
  if (!starts_well) return std::nullopt;
  double value = 0;
  const char* end = digits->data() + digits->size();
  const auto [stop, error] = std::from_chars(digits->data(), end, value);
  if (stop != end) return std::nullopt;
  if (error == std::errc::result_out_of_range) value = digits->find("e-") != std::string::npos ? 0.0 : HUGE_VAL;
  return sign * value;
}

}  // namespace ferrum::jinja
