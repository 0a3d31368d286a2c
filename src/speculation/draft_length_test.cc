#include "speculation/draft_length.h"

#include <gtest/gtest.h>

#include <random>

namespace ferrum {
namespace {

struct Totals {
  int steps = 0, tokens = 0, drafted = 0, accepted = 0;
};

// `steps` steps of a text whose guesses are right, one by one, with the given probability.
Totals run(DraftLength& length, double probability, int steps, std::mt19937& rng) {
  std::bernoulli_distribution right(probability);
  Totals t;
  for (; t.steps < steps; ++t.steps) {
    const int drafted = length.next();
    int accepted = 0;
    while (accepted < drafted && right(rng)) ++accepted;
    length.record(drafted, accepted);
    t.drafted += drafted;
    t.accepted += accepted;
    t.tokens += accepted + 1;
  }
  return t;
}

TEST(DraftLength, GrowsToItsMaximumWhileEveryGuessIsRight) {
  for (const int max : {1, 3, 8, 32}) {
    DraftLength length(max);
    for (int i = 0; i < 5; ++i) {
      const int drafted = length.next();
      EXPECT_LE(drafted, max);
      length.record(drafted, drafted);
    }
    EXPECT_EQ(length.next(), max);
  }
}

TEST(DraftLength, ShrinksToWhatHeldAfterARejection) {
  DraftLength length(16);
  length.record(4, 4);
  ASSERT_EQ(length.next(), 8);
  length.record(8, 3);
  EXPECT_EQ(length.next(), 4);
}

TEST(DraftLength, SwitchesItselfOffWhereNothingIsRightAndProbesRarely) {
  DraftLength length(16);
  std::mt19937 rng(1);
  EXPECT_LE(run(length, 0.0, 8, rng).drafted, 7);
  EXPECT_LE(run(length, 0.0, 10000, rng).drafted, 100);
}

TEST(DraftLength, ComesBackWhenGuessesHoldAgain) {
  DraftLength length(8);
  std::mt19937 rng(1);
  run(length, 0.0, 5000, rng);
  const Totals t = run(length, 1.0, 1000, rng);
  EXPECT_GT(t.tokens, 1000 * 7);  // nearly all steps give 1 + 8, after at most one pause
  EXPECT_EQ(length.next(), 8);
}

// The price and the gain in between: the more is right, the fewer steps; what is wrong stays a small part.
TEST(DraftLength, GainsWithTheShareThatIsRightAndWastesLittle) {
  double last = 1.0;
  for (const double p : {0.3, 0.5, 0.7, 0.9, 0.97}) {
    DraftLength length(16);
    std::mt19937 rng(5);
    const Totals t = run(length, p, 20000, rng);
    const double tokens_per_step = static_cast<double>(t.tokens) / t.steps;
    EXPECT_GT(tokens_per_step, last) << p;
    EXPECT_LT(t.drafted - t.accepted, t.tokens) << p;
    last = tokens_per_step;
  }
  EXPECT_GT(last, 5.0);
}

TEST(DraftLength, LetsAStepWithoutGuessesCountForNothing) {
  DraftLength length(8);
  for (int i = 0; i < 100; ++i) length.record(0, 0);
  EXPECT_EQ(length.next(), 4);
}

}  // namespace
}  // namespace ferrum
