// String work that methods and filters share.
#pragma once

#include <string_view>
#include <vector>

#include "text/jinja/runtime.h"

namespace ferrum::jinja {

// str.split() without and with a separator (not empty); a negative limit means no limit on the number of cuts.
std::vector<std::string_view> split_space(std::string_view text, int64_t limit, bool from_right);
std::vector<std::string_view> split_text(std::string_view text, std::string_view separator, int64_t limit,
                                         bool from_right);
// At \n, \r, \r\n, \v, \f, \x1c-\x1e, \x85, U+2028 and U+2029.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// A list of new strings.
Result<Value> list_of(Runtime& runtime, const std::vector<std::string_view>& parts);

// At most `limit` replacements, any number when it is negative. An empty `from` stands before each character and at the
// end.
Result<Value> replace_text(Runtime& runtime, std::string_view text, std::string_view from, std::string_view to,
                           int64_t limit);

// The text in a field of `width` code points, at '<', '>' or '^'; fill is one character.
Result<Value> pad(Runtime& runtime, std::string_view text, int64_t width, char align, std::string_view fill);

// There is a letter with case, and none of the other case: str.isupper(), str.islower().
bool has_case(std::string_view text, bool upper);

}  // namespace ferrum::jinja
