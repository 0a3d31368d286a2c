#include "text/jinja/format.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja/operators.h"
#include "text/jinja/print.h"
#include "text/jinja/strings.h"
#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

constexpr int64_t kMaxPrecision = 100;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// A run of digits at text[pos]; widths beyond ten million would only be refused later.
int64_t parse_number(std::string_view text, size_t& pos) {
  int64_t value = 0;
  for (; pos < text.size() && is_digit(text[pos]); ++pos)
    value = std::min<int64_t>(value * 10 + (text[pos] - '0'), 10'000'000);
  return value;
}

std::string with_commas(std::string digits) {
  const size_t whole = std::min(digits.find_first_of(".e"), digits.size());
  for (size_t i = whole; i > 3; i -= 3) digits.insert(i - 3, ",");
  return digits;
}

// The digits of |value|, with the prefix of its base when the alternate form is asked for.
std::string integer_digits(uint64_t magnitude, const FormatSpec& spec) {
  const int base = spec.type == 'x' || spec.type == 'X' ? 16 : spec.type == 'o' ? 8 : spec.type == 'b' ? 2 : 10;
  char buffer[72];
  const auto result = std::to_chars(buffer, buffer + sizeof(buffer), magnitude, base);
  std::string digits(buffer, result.ptr);
  if (spec.type == 'X')
    std::transform(digits.begin(), digits.end(), digits.begin(),
                   [](char c) { return c >= 'a' ? static_cast<char>(c - 32) : c; });
  if (spec.alternate && base != 10) digits = std::string("0") + spec.type + digits;
  return spec.comma ? with_commas(std::move(digits)) : digits;
}

std::string float_digits(double magnitude, const FormatSpec& spec) {
  if (std::isnan(magnitude)) return "nan";
  if (std::isinf(magnitude)) return "inf";
  std::string digits;
  if (spec.type == '\0' && spec.precision < 0) {
    digits = format_float(magnitude);
  } else {
    char format[] = "%.*f";
    format[3] = spec.type == '%' ? 'f' : spec.type == '\0' || spec.type == 'n' ? 'g' : spec.type;
    const int precision = spec.precision < 0 ? 6 : static_cast<int>(spec.precision);
    char buffer[512];
    const double shown = spec.type == '%' ? magnitude * 100 : magnitude;
    const int length = std::snprintf(buffer, sizeof(buffer), format, precision, shown);
    digits.assign(buffer, static_cast<size_t>(std::clamp<int>(length, 0, sizeof(buffer) - 1)));
    if (spec.type == '%') digits += '%';
    if (spec.type == '\0' && digits.find_first_of(".en") == std::string::npos) digits += ".0";
  }
  return spec.comma ? with_commas(std::move(digits)) : digits;
}

Status append_padded(Runtime& runtime, TextBuilder& out, std::string_view text, const FormatSpec& spec, char fallback) {
  const char align = spec.align == '\0' || spec.align == '=' ? fallback : spec.align;
  const auto length = static_cast<int64_t>(count_code_points(text));
  FERRUM_RETURN_IF_ERROR(runtime.charge(1 + static_cast<size_t>(spec.width) / 64));
  const int64_t total = std::max<int64_t>(0, spec.width - length);
  const int64_t left = align == '>' ? total : align == '^' ? total / 2 : 0;
  for (int64_t i = 0; i < left && !out.full(); ++i) out.append(spec.fill);
  out.append(text);
  for (int64_t i = left; i < total && !out.full(); ++i) out.append(spec.fill);
  return out.status();
}

Status append_number(Runtime& runtime, TextBuilder& out, std::string digits, bool negative, const FormatSpec& spec) {
  std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  const bool zero = (spec.zero && spec.align == '\0') || spec.align == '=';
  if (zero) {
    const std::string& fill = spec.zero && spec.align == '\0' ? std::string("0") : spec.fill;
    const auto length = static_cast<int64_t>(sign.size() + digits.size());
    out.append(sign);
    for (int64_t i = length; i < spec.width && !out.full(); ++i) out.append(fill);
    out.append(digits);
    return out.status();
  }
  return append_padded(runtime, out, sign + digits, spec, '>');
}

Status unknown_type(const Value& value, const FormatSpec& spec) {
  return invalid_argument("unknown format code '" + std::string(1, spec.type) + "' for a value of type '" +
                          std::string(value.type_name()) + "'");
}

}  // namespace

Result<FormatSpec> parse_format_spec(std::string_view text) {
  FormatSpec spec;
  size_t pos = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  if (!text.empty()) {
    size_t behind_fill = 0;
    next_code_point(text, behind_fill);
    if (behind_fill < text.size() && is_align(text[behind_fill])) {
      spec.fill = text.substr(0, behind_fill);
      spec.align = text[behind_fill];
      pos = behind_fill + 1;
    } else if (is_align(text[0])) {
      spec.align = text[pos++];
    }
  }
  const auto take = [&](char c) { return pos < text.size() && text[pos] == c ? (++pos, true) : false; };
  if (pos < text.size() && (text[pos] == '+' || text[pos] == '-' || text[pos] == ' ')) spec.sign = text[pos++];
  spec.alternate = take('#');
  spec.zero = take('0');
  spec.width = parse_number(text, pos);
  spec.comma = take(',');
  if (take('.')) {
    if (pos >= text.size() || !is_digit(text[pos]))
      return invalid_argument("a format specification lacks its precision");
    spec.precision = parse_number(text, pos);
  }
  if (pos < text.size()) spec.type = text[pos++];
  if (pos != text.size()) return invalid_argument("invalid format specification '" + std::string(text) + "'");
  return spec;
}

Status append_formatted(Runtime& runtime, TextBuilder& out, const Value& value, const FormatSpec& spec) {
  const std::string_view kFloatTypes = "eEfFgGn%";
  if (value.is_number() && spec.type != 's' && !(value.is_bool() && spec.type == '\0')) {
    const bool as_float =
        value.is_float() ||
        (spec.type != '\0' && kFloatTypes.find(spec.type) != std::string_view::npos && spec.type != 'n');
    if (as_float) {
      if (spec.type != '\0' && kFloatTypes.find(spec.type) == std::string_view::npos) return unknown_type(value, spec);
      if (spec.precision > kMaxPrecision) return invalid_argument("a format precision above 100 is not supported");
      const double number = value.number();
      return append_number(runtime, out, float_digits(std::fabs(number), spec),
                           std::signbit(number) && !std::isnan(number), spec);
    }
    if (spec.precision >= 0) return invalid_argument("precision not allowed in an integer format");
    if (spec.type == 'c') {
      TextBuilder one(runtime);
      one.append_code_point(static_cast<char32_t>(std::clamp<int64_t>(value.integer(), 0, 0x110000)));
      return append_padded(runtime, out, one.text(), spec, '<');
    }
    if (spec.type != '\0' && std::string_view("dxXobn").find(spec.type) == std::string_view::npos)
      return unknown_type(value, spec);
    const int64_t number = value.integer();
    const uint64_t magnitude = number < 0 ? uint64_t{0} - static_cast<uint64_t>(number) : static_cast<uint64_t>(number);
    return append_number(runtime, out, integer_digits(magnitude, spec), number < 0, spec);
  }
  if (spec.type != '\0' && spec.type != 's') return unknown_type(value, spec);
  FERRUM_ASSIGN_OR_RETURN(const Value shown, to_text(runtime, value));
  std::string_view text = shown.text();
  if (spec.precision >= 0) text = text.substr(0, byte_offset(text, static_cast<size_t>(spec.precision)));
  return append_padded(runtime, out, text, spec, '<');
}

}  // namespace ferrum::jinja
