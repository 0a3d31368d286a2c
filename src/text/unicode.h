// The Unicode facts that tokenizers need: UTF-8 in and out, white space, categories, canonical normal forms.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ferrum {

struct CodePoint {
  char32_t value = 0;
  size_t length = 0;  // bytes in UTF-8, 1 to 4
};

// The code point at byte `at` of text, which must be valid UTF-8 there.
CodePoint decode_utf8(std::string_view text, size_t at);
void append_utf8(char32_t code_point, std::string& out);

// Byte offset of the first sequence that RFC 3629 does not allow (overlong forms, surrogates, truncated sequences,
// ...).
std::optional<size_t> find_invalid_utf8(std::string_view text);

// Lossy decoding in pieces: appends to `out` what of `pending` + `bytes` is final, each maximal ill-formed subpart as
// one U+FFFD (Unicode 15, section 3.9, "best practice for using U+FFFD"); an unfinished sequence stays in `pending` (at
// most 3 bytes). Any split of a byte sequence into calls gives the same text; finish_utf8 ends it.
void append_repaired_utf8(std::string_view bytes, std::string& pending, std::string& out);
void finish_repaired_utf8(std::string& pending, std::string& out);

// The White_Space property (PropList.txt): what \s means in the regexes of published tokenizers.
bool is_white_space(char32_t code_point);

// General categories, by utf8proc.
bool is_number(char32_t code_point);           // N*
bool is_decimal_digit(char32_t code_point);    // Nd
bool is_word_character(char32_t code_point);   // \w of Oniguruma: L*, M*, N*, Pc
bool is_punctuation(char32_t code_point);      // P*
bool is_other(char32_t code_point);            // Cc, Cf, Cs, Co; not Cn: later versions of Unicode assign those
bool is_nonspacing_mark(char32_t code_point);  // Mn
char32_t to_lower(char32_t code_point);        // simple mapping

// Canonical normal forms (UAX #15) of valid UTF-8, in linear time up to a sort of each run of combining marks.
std::string normalize_nfc(std::string_view text);
std::string normalize_nfd(std::string_view text);
// True only if text is in NFC already; false means "perhaps not". Cheap: lets the usual text skip normalize_nfc.
bool is_surely_nfc(std::string_view text);

}  // namespace ferrum
