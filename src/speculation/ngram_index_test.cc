#include "speculation/ngram_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace ferrum {
namespace {

using Tokens = std::vector<TokenId>;

// The definition, by search: longest suffix first, most recent occurrence first, then copied token by token.
Tokens naive(const Tokens& text, int min, int max, int count) {
  const int size = static_cast<int>(text.size());
  for (int length = std::min(max, size); length >= min; --length) {
    for (int end = size - 1; end >= length; --end) {
      if (!std::equal(text.end() - length, text.end(), text.begin() + end - length)) continue;
      Tokens grown = text;
      for (int i = 0; i < count; ++i) grown.push_back(grown[static_cast<size_t>(end + i)]);
      return {grown.begin() + size, grown.end()};
    }
  }
  return {};
}

Tokens propose(NgramIndex& index, const Tokens& text, int count) {
  Tokens draft = {-7};  // to be replaced
  index.propose(text, count, draft);
  return draft;
}

TEST(NgramIndex, EqualsANaiveSearchOnRandomTextsThatGrowByPieces) {
  std::mt19937 rng(7);
  const auto pick = [&](int low, int high) { return std::uniform_int_distribution<int>(low, high)(rng); };
  int found = 0, nothing = 0;
  for (int round = 0; round < 400; ++round) {
    const int min = pick(1, 4), max = min + pick(0, 3), alphabet = 1 + pick(1, 12);
    NgramIndex index(min, max);
    Tokens text;
    for (int step = 0; step < 25; ++step) {
      for (int n = pick(0, step == 0 ? 40 : 4); n > 0; --n) text.push_back(pick(0, alphabet));
      const int count = pick(1, 12);
      const Tokens expected = naive(text, min, max, count);
      ASSERT_EQ(propose(index, text, count), expected) << "min " << min << " max " << max << " size " << text.size();
      expected.empty() ? ++nothing : ++found;
    }
  }
  EXPECT_GT(found, 1000);
  EXPECT_GT(nothing, 1000);
}

TEST(NgramIndex, PrefersTheLongestContextAndThenTheMostRecentOne) {
  NgramIndex index(1, 3);
  EXPECT_EQ(propose(index, {1, 2, 3, 4, 9, 3, 5, 2, 3}, 1), Tokens{4});  // "2 3" is longer than the more recent "3"
  NgramIndex recent(1, 3);
  EXPECT_EQ(propose(recent, {8, 3, 4, 7, 3, 5, 6, 3}, 2), (Tokens{5, 6}));
}

TEST(NgramIndex, GoesOnPeriodicallyWhereTheContinuationReachesTheEnd) {
  NgramIndex index(2, 4);
  EXPECT_EQ(propose(index, {1, 2, 3, 1, 2, 3}, 7), (Tokens{1, 2, 3, 1, 2, 3, 1}));
  NgramIndex same(2, 4);
  EXPECT_EQ(propose(same, {5, 5, 5}, 4), (Tokens{5, 5, 5, 5}));
}

TEST(NgramIndex, HasNothingToSayAboutShortOrNewText) {
  NgramIndex index(2, 4);
  EXPECT_EQ(propose(index, {}, 4), Tokens{});
  EXPECT_EQ(propose(index, {1}, 4), Tokens{});
  EXPECT_EQ(propose(index, {1, 2}, 4), Tokens{});
  EXPECT_EQ(propose(index, {1, 2, 3}, 4), Tokens{});
}

TEST(NgramIndex, KeepsWithinItsBoundOfMemory) {
  std::mt19937 rng(3);
  NgramIndex index(2, 4);
  Tokens text, draft;
  for (int i = 0; i < 20000; ++i) text.push_back(static_cast<TokenId>(rng() % 150000));
  index.propose(text, 4, draft);
  EXPECT_LE(index.memory_bytes(), size_t{32} * 3 * text.size());
}

}  // namespace
}  // namespace ferrum
