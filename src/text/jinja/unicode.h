// Code points of UTF-8 text, as Python's str sees them. Bytes that are not UTF-8 count as one code point each, U+FFFD.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace ferrum::jinja {

// The code point that starts at text[pos]; moves pos behind it. pos must be below text.size().
char32_t next_code_point(std::string_view text, size_t& pos);
void append_utf8(std::string& out, char32_t code_point);

size_t count_code_points(std::string_view text);
// Byte offset of the index-th code point; text.size() when there are not that many.
size_t byte_offset(std::string_view text, size_t index);

// str.isspace() of one code point: what strip(), split() and the lexer's \s take for white space.
bool is_space(char32_t code_point);
bool is_alpha(char32_t code_point);
bool is_decimal(char32_t code_point);
bool is_upper(char32_t code_point);
bool is_lower(char32_t code_point);
bool is_word(char32_t code_point);       // \w of a Unicode regular expression
bool is_printable(char32_t code_point);  // what repr() shows as it is

// One code point to one code point (the simple case mapping), except that upper case of U+00DF is "SS".
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string capitalize(std::string_view text);  // first character upper case, the rest lower case
std::string to_title(std::string_view text);    // str.title(): each run of letters capitalised

// The text without leading (side < 1) and trailing (side > -1) characters of the set; white space when it is null.
std::string_view strip(std::string_view text, const std::string_view* set, int side);

}  // namespace ferrum::jinja
