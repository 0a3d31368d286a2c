#include "text/string_index.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace ferrum {
namespace {

TEST(StringIndex, KnowsWhatAnOrderedMapKnowsWhileItGrows) {
  std::map<std::string, int32_t> wanted;
  TextArena arena;
  StringIndex index;
  uint32_t random = 1;
  for (int32_t i = 0; i < 20000; ++i) {
    random = random * 1664525 + 1013904223;
    // Many repetitions, lengths around the eight bytes that are hashed at a time, and zero bytes.
    std::string text(random >> 28, static_cast<char>(random >> 20 & 1));
    text += std::to_string(random >> 8 & 0xfff);
    const auto [entry, is_new] = wanted.emplace(text, i);
    ASSERT_EQ(index.add(text, i, &arena), entry->second);
  }
  for (const auto& [text, number] : wanted) {
    EXPECT_EQ(index.find(text), number);
    EXPECT_EQ(index.find(text + "x"), -1);
  }
}

TEST(StringIndex, TellsTextsApartThatDifferInLengthOnly) {
  StringIndex index(4);
  const std::string zeros(20, '\0');
  for (int32_t length = 0; length <= 20; ++length) {
    EXPECT_EQ(index.add(std::string_view(zeros).substr(0, static_cast<size_t>(length)), length), length);
  }
  for (int32_t length = 0; length <= 20; ++length) {
    EXPECT_EQ(index.find(std::string(static_cast<size_t>(length), '\0')), length);
  }
}

TEST(TextArena, KeepsTextsOfAnySizeInPlace) {
  TextArena arena;
  std::vector<std::pair<std::string, std::string_view>> kept;
  for (const size_t size : {0u, 1u, 70000u, 3u, 65536u, 65535u, 40000u, 40000u}) {
    const std::string text(size, static_cast<char>('a' + kept.size()));
    kept.emplace_back(text, arena.keep(text));
  }
  for (const auto& [text, view] : kept) EXPECT_EQ(view, text);
}

}  // namespace
}  // namespace ferrum
