// Values to text: Python's str() and repr().
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// As "{{ value }}" prints it: strings as they are, undefined as nothing, containers with repr() of what they hold. In
// the JavaScript dialect true, false and null, and containers as JSON.
Status append_text(Runtime& runtime, TextBuilder& out, const Value& value);
Status append_repr(Runtime& runtime, TextBuilder& out, const Value& value, int depth = 0);

// str(value) as a Value; strings pass through.
Result<Value> to_text(Runtime& runtime, const Value& value);

// The shortest decimal that reads back as the same double, laid out as Python does: 1.0, 1e-05, 1e+16, inf, nan.
std::string format_float(double value);
std::string quote(std::string_view text);  // repr() of a string

}  // namespace ferrum::jinja
