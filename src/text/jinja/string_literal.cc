#include "text/jinja/string_literal.h"

#include <charconv>
#include <optional>

#include "text/jinja/unicode.h"

namespace ferrum::jinja {
namespace {

// The code point of `digits` hexadecimal digits at body[pos], if they are all there.
std::optional<char32_t> hex(std::string_view body, size_t pos, size_t digits) {
  if (pos + digits > body.size()) return std::nullopt;
  uint32_t value = 0;
  const char* begin = body.data() + pos;
  const auto [end, error] = std::from_chars(begin, begin + digits, value, 16);
  if (error != std::errc() || end != begin + digits) return std::nullopt;
  return value;
}

// A high surrogate at body[pos] (behind its \uHHHH) is joined with the low one that follows.
char32_t join_surrogates(char32_t high, std::string_view body, size_t& pos) {
  if (high < 0xD800 || high > 0xDBFF || body.substr(pos, 2) != "\\u") return high;
  const auto low = hex(body, pos + 2, 4);
  if (!low || *low < 0xDC00 || *low > 0xDFFF) return high;
  pos += 6;
  return 0x10000 + ((high - 0xD800) << 10) + (*low - 0xDC00);
}

char32_t octal(std::string_view body, size_t& pos) {
  char32_t value = 0;
  for (int i = 0; i < 3 && pos < body.size() && body[pos] >= '0' && body[pos] <= '7'; ++i) {
    value = value * 8 + static_cast<char32_t>(body[pos++] - '0');
  }
  return value;
}

}  // namespace

Result<std::string> decode_string_literal(std::string_view body) {
  static constexpr std::string_view kFrom = "\\'\"abfnrtv";
  static constexpr std::string_view kTo = "\\'\"\a\b\f\n\r\t\v";
  std::string out;
  out.reserve(body.size());
  for (size_t pos = 0; pos < body.size();) {
    if (body[pos] != '\\' || pos + 1 >= body.size()) {
      out += body[pos++];
      continue;
    }
    const char kind = body[pos + 1];
    if (const size_t simple = kFrom.find(kind); simple != std::string_view::npos) {
      out += kTo[simple];
      pos += 2;
    } else if (kind == '\n') {
      pos += 2;
    } else if (kind >= '0' && kind <= '7') {
      append_utf8(out, octal(body, ++pos));
    } else if (kind == 'x' || kind == 'u' || kind == 'U') {
      const size_t digits = kind == 'x' ? 2 : kind == 'u' ? 4 : 8;
      const auto value = hex(body, pos + 2, digits);
      if (!value || *value > 0x10FFFF) return invalid_argument("this string has a broken \\" + std::string(1, kind));
      pos += 2 + digits;
      append_utf8(out, kind == 'u' ? join_surrogates(*value, body, pos) : *value);
    } else if (kind == 'N') {
      return invalid_argument("named characters (\\N{...}) are not supported in strings");
    } else {
      out += '\\';
      ++pos;
    }
  }
  return out;
}

}  // namespace ferrum::jinja
