// The inside of a quoted string in a template to the text it means.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace ferrum::jinja {

// Python's escapes: \n \t \\ \' \" \a \b \f \v \r, \ooo, \xHH, \uHHHH, \UHHHHHHHH and backslash-newline. An unknown
// escape stays as it is written. Two \u surrogates that belong together make one character; a lone one is U+FFFD.
Result<std::string> decode_string_literal(std::string_view body);

}  // namespace ferrum::jinja
