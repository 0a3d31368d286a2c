#include "engine/stop_matcher.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>

namespace ferrum {
namespace {

// The definition, on the whole text: the match that ends first, of those the longest.
struct Expected {
  std::string text, match;
};
Expected cut_naively(const std::string& text, const std::vector<std::string>& stops, bool keep) {
  for (size_t end = 1; end <= text.size(); ++end) {
    std::optional<std::string> longest;
    for (const std::string& s : stops) {
      const bool ends_here = end >= s.size() && text.compare(end - s.size(), s.size(), s) == 0;
      if (ends_here && (!longest || s.size() > longest->size())) longest = s;
    }
    if (longest) return {text.substr(0, keep ? end : end - longest->size()), *longest};
  }
  return {text, ""};
}

TEST(StopMatcher, CutsAcrossPieces) {
  const std::vector<std::string> stops = {"\nUser:"};
  StopMatcher m(stops, false);
  EXPECT_EQ(m.push("Hello"), "Hello");
  EXPECT_EQ(m.push("!\nUs"), "!");
  EXPECT_EQ(m.push("e"), "");
  EXPECT_FALSE(m.matched());
  EXPECT_EQ(m.push("r: next"), "");
  EXPECT_TRUE(m.matched());
  EXPECT_EQ(m.match(), "\nUser:");
  EXPECT_EQ(m.push("more"), "");
  EXPECT_EQ(m.finish(), "");
}

TEST(StopMatcher, ReleasesWhatTurnsOutHarmless) {
  const std::vector<std::string> stops = {"aab"};
  StopMatcher m(stops, false);
  EXPECT_EQ(m.push("aa"), "");
  EXPECT_EQ(m.push("a"), "a") << "two of the three may still begin a stop string";
  EXPECT_EQ(m.push("c"), "aac");
  EXPECT_EQ(m.push("a"), "");
  EXPECT_EQ(m.finish(), "a");
}

TEST(StopMatcher, KeepsTheMatchWhenAsked) {
  const std::vector<std::string> stops = {"."};
  StopMatcher m(stops, true);
  EXPECT_EQ(m.push("One. Two."), "One.");
  EXPECT_EQ(m.match(), ".");
}

// Texts over a tiny alphabet, where stop strings overlap, nest and repeat, in random pieces. What is held back must be
// no longer than the longest stop string that could still complete, and the result as defined.
TEST(StopMatcher, AgreesWithTheDefinitionForRandomTextsAndPieces) {
  std::mt19937_64 rng(9);
  const auto pick = [&](size_t n) { return static_cast<size_t>(rng() % n); };
  const auto random_text = [&](size_t length) {
    std::string s;
    while (s.size() < length) s += "ab"[pick(2)];
    return s;
  };
  int matches = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::vector<std::string> stops;
    for (size_t n = pick(4); n > 0; --n) stops.push_back(random_text(1 + pick(7)));
    const std::string text = random_text(pick(30));
    const bool keep = pick(2) == 0;
    StopMatcher m(stops, keep);
    std::string got;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + pick(5);
      got += m.push(std::string_view(text).substr(at, n));
      at += std::min(n, text.size() - at);
      if (m.matched()) continue;
      const std::string held = text.substr(got.size(), at - got.size());
      bool could_match = held.empty();
      for (const std::string& s : stops) could_match = could_match || (s.size() > held.size() && s.starts_with(held));
      ASSERT_TRUE(could_match) << "'" << held << "' was held back for nothing";
    }
    got += m.finish();
    const Expected expected = cut_naively(text, stops, keep);
    ASSERT_EQ(got, expected.text) << text;
    ASSERT_EQ(m.match(), expected.match) << text;
    matches += m.matched();
  }
  EXPECT_GT(matches, 5000);
}

// Quadratic matching would take seconds here: every byte extends a partial match of every stop string.
TEST(StopMatcher, StaysFastOnAdversarialStops) {
  std::vector<std::string> stops;
  for (int i = 0; i < 64; ++i) stops.push_back(std::string(960 + static_cast<size_t>(i), 'a') + "b");
  StopMatcher m(stops, false);
  size_t released = 0;
  for (int i = 0; i < 200; ++i) released += m.push(std::string(1000, 'a')).size();
  EXPECT_EQ(released, 200'000u - 1023u);
}

}  // namespace
}  // namespace ferrum
