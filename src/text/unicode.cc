#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/quote.h"

namespace ferrum {
namespace {

constexpr char32_t kReplacement = 0xFFFD;

uint8_t byte_at(std::string_view text, size_t i) { return static_cast<uint8_t>(text[i]); }

// Whether `sequence` (not empty) can still become a valid sequence by appending bytes.
bool is_unfinished_prefix(std::string_view sequence) {
  const uint8_t first = byte_at(sequence, 0);
  if (first < 0xc2 || first > 0xf4) return false;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (sequence.size() >= length) return false;
  // Fill up with a continuation byte that the second byte's range always allows after these first bytes.
  std::string filled(sequence);
  if (filled.size() == 1) filled += static_cast<char>(first == 0xe0 || first == 0xf0 ? 0xa0 : 0x80);
  filled.resize(length, static_cast<char>(0x80));
  return utf8_sequence_length(filled) == length;
}

utf8proc_category_t category(char32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

bool in_range(utf8proc_category_t c, utf8proc_category_t first, utf8proc_category_t last) {
  return c >= first && c <= last;
}

int combining_class(utf8proc_int32_t c) { return utf8proc_get_property(c)->combining_class; }

// Canonical decomposition of every code point, without reordering.
std::vector<utf8proc_int32_t> decompose(std::string_view text) {
  std::vector<utf8proc_int32_t> out;
  out.reserve(text.size());
  constexpr int kMaxExpansion = 16;  // canonical decompositions have at most 4 code points
  utf8proc_int32_t buffer[kMaxExpansion];
  for (size_t i = 0; i < text.size();) {
    const CodePoint c = decode_utf8(text, i);
    i += c.length;
    const auto count =
        utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c.value), buffer, kMaxExpansion,
                                static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE), nullptr);
    FERRUM_CHECK(count >= 0 && count <= kMaxExpansion, "canonical decomposition of one code point");
    out.insert(out.end(), buffer, buffer + count);
  }
  return out;
}

// Canonical ordering by a real sort: utf8proc's own exchange sort is quadratic in the length of a run of marks, which a
// hostile text can make megabytes long.
void reorder_marks(std::vector<utf8proc_int32_t>& text) {
  for (size_t i = 0; i < text.size();) {
    if (combining_class(text[i]) == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<ptrdiff_t>(i), text.begin() + static_cast<ptrdiff_t>(end),
                     [](auto a, auto b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
}

std::string to_utf8(const std::vector<utf8proc_int32_t>& text, size_t length) {
  std::string out;
  out.reserve(length);
  for (size_t i = 0; i < length; ++i) append_utf8(static_cast<char32_t>(text[i]), out);
  return out;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, size_t at) {
  const uint8_t first = byte_at(text, at);
  const auto tail = [&](size_t i) { return static_cast<char32_t>(byte_at(text, at + i) & 0x3f); };
  if (first < 0x80) return {first, 1};
  if (first < 0xe0) return {(static_cast<char32_t>(first & 0x1f) << 6) | tail(1), 2};
  if (first < 0xf0) return {(static_cast<char32_t>(first & 0x0f) << 12) | (tail(1) << 6) | tail(2), 3};
  return {(static_cast<char32_t>(first & 0x07) << 18) | (tail(1) << 12) | (tail(2) << 6) | tail(3), 4};
}

void append_utf8(char32_t c, std::string& out) {
  const auto put = [&out](char32_t byte) { out += static_cast<char>(byte); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xc0 | (c >> 6));
    put(0x80 | (c & 0x3f));
  } else if (c < 0x10000) {
    put(0xe0 | (c >> 12));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  } else {
    put(0xf0 | (c >> 18));
    put(0x80 | ((c >> 12) & 0x3f));
    put(0x80 | ((c >> 6) & 0x3f));
    put(0x80 | (c & 0x3f));
  }
}

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    uint64_t eight = 0;
    if (text.size() - i >= sizeof(eight)) {
      std::memcpy(&eight, text.data() + i, sizeof(eight));
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof(eight);
        continue;
      }
    }
    const size_t length = utf8_sequence_length(text.substr(i));
    if (length == 0) return i;
    i += length;
  }
  return std::nullopt;
}

void append_repaired_utf8(std::string_view bytes, std::string& pending, std::string& out) {
  for (size_t i = 0; i < bytes.size();) {
    if (pending.empty() && byte_at(bytes, i) < 0x80) {
      out += bytes[i++];
      continue;
    }
    pending += bytes[i];
    if (utf8_sequence_length(pending) == pending.size()) {
      out += pending;
      pending.clear();
      ++i;
    } else if (is_unfinished_prefix(pending)) {
      ++i;
    } else {
      // The new byte broke the sequence: what stood before it is one ill-formed subpart, and the byte starts afresh. A
      // byte that cannot start anything is a subpart of its own.
      if (pending.size() == 1) ++i;
      pending.clear();
      append_utf8(kReplacement, out);
    }
  }
}

void finish_repaired_utf8(std::string& pending, std::string& out) {
  if (!pending.empty()) append_utf8(kReplacement, out);
  pending.clear();
}

bool is_white_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 0x09 && c <= 0x0d);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_number(char32_t c) { return in_range(category(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO); }
bool is_decimal_digit(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }
bool is_word_character(char32_t c) {
  const auto general = category(c);
  return in_range(general, UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_NO) || general == UTF8PROC_CATEGORY_PC;
}
bool is_punctuation(char32_t c) { return in_range(category(c), UTF8PROC_CATEGORY_PC, UTF8PROC_CATEGORY_PO); }
bool is_other(char32_t c) { return in_range(category(c), UTF8PROC_CATEGORY_CC, UTF8PROC_CATEGORY_CO); }
bool is_nonspacing_mark(char32_t c) { return category(c) == UTF8PROC_CATEGORY_MN; }
char32_t to_lower(char32_t c) { return static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))); }

std::string normalize_nfd(std::string_view text) {
  auto points = decompose(text);
  reorder_marks(points);
  return to_utf8(points, points.size());
}

std::string normalize_nfc(std::string_view text) {
  auto points = decompose(text);
  reorder_marks(points);
  const auto length = utf8proc_normalize_utf32(points.data(), static_cast<utf8proc_ssize_t>(points.size()),
                                               static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  FERRUM_CHECK(length >= 0, "composition shortens");
  return to_utf8(points, static_cast<size_t>(length));
}

bool is_surely_nfc(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (byte_at(text, i) < 0x80) {
      ++i;
      continue;
    }
    const CodePoint c = decode_utf8(text, i);
    i += c.length;
    const bool never_changes = c.value < 0x300 ||                          // Latin: nothing below combines
                               (c.value >= 0x400 && c.value < 0x483) ||    // Cyrillic letters
                               (c.value >= 0x2010 && c.value < 0x2027) ||  // general punctuation
                               (c.value >= 0x3041 && c.value < 0x3097) ||  // Hiragana without its marks
                               (c.value >= 0x30a1 && c.value < 0x30fb) ||  // Katakana
                               (c.value >= 0x4e00 && c.value < 0xa000) ||  // unified ideographs
                               (c.value >= 0xac00 && c.value < 0xd7a4) ||  // Hangul syllables
                               (c.value >= 0x3000 && c.value < 0x302a) ||  // CJK punctuation
                               (c.value >= 0xff01 && c.value < 0xff5f) ||  // full-width forms
                               (c.value >= 0x1f300 && c.value < 0x1fb00);  // emoji
    if (!never_changes) return false;
  }
  return true;
}

}  // namespace ferrum
