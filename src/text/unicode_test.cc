// UTF-8 repair gives the same text however the bytes arrive; normal forms are those of UAX #15, in linear time.
#include "text/unicode.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace ferrum {
namespace {

std::string repair(const std::vector<std::string>& parts) {
  std::string pending, out;
  for (const std::string& part : parts) append_repaired_utf8(part, pending, out);
  finish_repaired_utf8(pending, out);
  return out;
}

constexpr char kBad[] = "\xef\xbf\xbd";  // U+FFFD

std::string bad(int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += kBad;
  return text;
}

TEST(Unicode, ReplacesEachMaximalSubpart) {
  // Unicode 15, tables 3-8 to 3-11.
  EXPECT_EQ(repair({"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41"}), bad(8) + "A");
  EXPECT_EQ(repair({"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41"}), bad(8) + "A");
  EXPECT_EQ(repair({"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42"}), bad(5) + "A" + bad(2) + "B");
  EXPECT_EQ(repair({"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41"}), bad(4) + "A");
}

TEST(Unicode, HoldsBackOnlyUnfinishedCharacters) {
  std::string pending, out;
  append_repaired_utf8("a\xf0\x9f\x98", pending, out);
  EXPECT_EQ(out, "a");
  append_repaired_utf8("\x80z", pending, out);
  EXPECT_EQ(out, "a\xf0\x9f\x98\x80z");
  append_repaired_utf8("\xe4\xbd", pending, out);
  finish_repaired_utf8(pending, out);
  EXPECT_EQ(out, std::string("a\xf0\x9f\x98\x80z") + kBad);
}

TEST(Unicode, AnySplitOfAnyBytesGivesTheSameValidText) {
  std::mt19937 random(7);
  const std::string pool = "a\x80\xbf\xc2\xc0\xe0\xa0\xed\x9f\xef\xf0\x90\xf4\x8f\xf5\xff\xe4\xbd\xa0";
  for (int round = 0; round < 20000; ++round) {
    std::string bytes;
    for (size_t n = random() % 12; n > 0; --n) bytes += pool[random() % pool.size()];
    std::vector<std::string> parts;
    for (size_t at = 0; at < bytes.size();) {
      const size_t n = 1 + random() % 3;
      parts.push_back(bytes.substr(at, n));
      at += n;
    }
    const std::string whole = repair({bytes});
    EXPECT_EQ(repair(parts), whole);
    EXPECT_FALSE(find_invalid_utf8(whole));
    if (!find_invalid_utf8(bytes)) {
      EXPECT_EQ(whole, bytes);
    }
  }
}

TEST(Unicode, FindsTheFirstInvalidByte) {
  EXPECT_FALSE(find_invalid_utf8("plain text, longer than eight bytes \xc3\xa9"));
  EXPECT_EQ(find_invalid_utf8("plain text\xff and more"), 10u);
  EXPECT_EQ(find_invalid_utf8("ab\xed\xa0\x80"), 2u);
  EXPECT_EQ(find_invalid_utf8("ab\xe4\xbd"), 2u);
}

TEST(Unicode, NormalForms) {
  EXPECT_EQ(normalize_nfc("cafe\xcc\x81"), "caf\xc3\xa9");
  EXPECT_EQ(normalize_nfd("caf\xc3\xa9"), "cafe\xcc\x81");
  EXPECT_EQ(normalize_nfc("\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8"), "\xea\xb0\x81");  // jamo to a syllable
  EXPECT_EQ(normalize_nfc("\xe2\x84\xab"), "\xc3\x85");                              // Angstrom sign
  EXPECT_EQ(normalize_nfd("q\xcc\x87\xcc\xa3"), "q\xcc\xa3\xcc\x87");                // marks by class
  EXPECT_TRUE(is_surely_nfc("Plain, \xd0\x9f \xe4\xbd\xa0 \xea\xb0\x81 \xf0\x9f\x98\x80"));
  EXPECT_FALSE(is_surely_nfc("cafe\xcc\x81"));
}

TEST(Unicode, EveryTextThatIsSurelyNfcIsUnchangedByNfc) {
  for (char32_t c = 0x20; c < 0x20000; ++c) {
    if (c >= 0xd800 && c < 0xe000) continue;
    for (const char32_t before : {U'a', U'\u3046', U'\u1100', U'\uac00'}) {
      std::string text;
      append_utf8(before, text);
      append_utf8(c, text);
      if (is_surely_nfc(text)) {
        ASSERT_EQ(normalize_nfc(text), text) << std::hex << static_cast<uint32_t>(c);
      }
    }
  }
}

TEST(Unicode, MegabytesOfCombiningMarksTakeNoTime) {
  std::string text = "a";
  for (int i = 0; i < 1 << 18; ++i) text += i % 2 == 0 ? "\xcc\x81" : "\xcc\xa3";  // classes 230 and 220 in turn
  const auto start = std::chrono::steady_clock::now();
  EXPECT_FALSE(find_invalid_utf8(normalize_nfc(text)));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(20));  // minutes, were it quadratic
}

}  // namespace
}  // namespace ferrum
