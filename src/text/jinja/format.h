// Python's three ways to lay out a value: "%5.2f" % x, "{:>5}".format(x), and the format specification they share.
#pragma once

#include <string_view>

#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// text % value. A tuple gives several values, a dict those named in %(name)s.
Result<Value> printf_format(Runtime& runtime, std::string_view text, const Value& value);

// text.format(*args, **kwargs), with {}, {0}, {name}, .attribute, [key], !r, !s and a format specification.
Result<Value> brace_format(Runtime& runtime, std::string_view text, CallArgs& args);

// [[fill]align][sign][#][0][width][,][.precision][type]
struct FormatSpec {
  std::string fill = " ";
  char align = '\0';  // one of < > ^ =, or none
  char sign = '-';
  bool alternate = false;
  bool zero = false;
  bool comma = false;
  int64_t width = 0;
  int64_t precision = -1;
  char type = '\0';
};
Result<FormatSpec> parse_format_spec(std::string_view text);
Status append_formatted(Runtime& runtime, TextBuilder& out, const Value& value, const FormatSpec& spec);

}  // namespace ferrum::jinja
