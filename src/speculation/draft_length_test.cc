#include "speculation/draft_length.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace ferrum {
namespace {

constexpr double kPrice = 0.2;

struct Totals {
  int steps = 0, tokens = 0, drafted = 0, accepted = 0;
  double tokens_per_cost(double price) const { return tokens / (steps + drafted * price); }
};

// `steps` steps of a text whose guesses are right, one by one, with the given probability.
Totals run(DraftLength& length, double price, double probability, int steps, std::mt19937& rng) {
  std::bernoulli_distribution right(probability);
  Totals t;
  for (; t.steps < steps; ++t.steps) {
    const int drafted = length.next(price);
    int accepted = 0;
    while (accepted < drafted && right(rng)) ++accepted;
    length.record(drafted, accepted);
    t.drafted += drafted;
    t.accepted += accepted;
    t.tokens += accepted + 1;
  }
  return t;
}

// The most tokens per cost that any fixed number of guesses gives.
double best_fixed(double price, double probability, int max) {
  double best = 1;
  for (int k = 1; k <= max; ++k) {
    double tokens = 0;
    for (int i = 0; i <= k; ++i) tokens += std::pow(probability, i);
    best = std::max(best, tokens / (1 + k * price));
  }
  return best;
}

TEST(DraftLength, GrowsToItsMaximumWhileEveryGuessIsRight) {
  for (const int max : {1, 3, 8}) {
    DraftLength length(max);
    std::mt19937 rng(1);
    run(length, kPrice, 1.0, 12, rng);
    EXPECT_EQ(length.next(kPrice), max);
  }
}

TEST(DraftLength, SwitchesItselfOffWhereNothingIsRightAndProbesRarely) {
  DraftLength length(16);
  std::mt19937 rng(1);
  EXPECT_LE(run(length, kPrice, 0.0, 8, rng).drafted, 10);
  EXPECT_LE(run(length, kPrice, 0.0, 10000, rng).drafted, 100);
}

TEST(DraftLength, ComesBackWhenGuessesHoldAgain) {
  DraftLength length(8);
  std::mt19937 rng(1);
  run(length, kPrice, 0.0, 5000, rng);
  const Totals t = run(length, kPrice, 1.0, 1000, rng);
  EXPECT_GT(t.tokens, 1000 * 7);  // nearly all steps give 1 + 8, after at most one pause
  EXPECT_EQ(length.next(kPrice), 8);
}

// It knows neither the share of right guesses nor that it is constant, and still comes near to who does.
TEST(DraftLength, ComesWithinATenthOfTheBestFixedNumberWhateverTheShareAndThePrice) {
  for (const double price : {0.05, 0.2, 0.5, 0.8}) {
    for (const double p : {0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97}) {
      DraftLength length(16);
      std::mt19937 rng(5);
      const Totals t = run(length, price, p, 20000, rng);
      EXPECT_GT(t.tokens_per_cost(price), 0.9 * best_fixed(price, p, 16)) << p << " at " << price;
      EXPECT_GT(t.tokens_per_cost(price), 0.98) << p << " at " << price;
    }
  }
}

TEST(DraftLength, GuessesThatCostMoreThanAStepAreMadeOnlyToSeeWhetherTheyStillDo) {
  DraftLength length(8);
  std::mt19937 rng(1);
  EXPECT_LT(run(length, 1.5, 1.0, 10000, rng).drafted, 12);
  EXPECT_GT(run(length, kPrice, 1.0, 1000, rng).tokens, 1000 * 7);
}

TEST(DraftLength, TheGainIsTokensPerCost) {
  DraftLength length(8);
  std::mt19937 rng(1);
  run(length, kPrice, 1.0, 200, rng);
  EXPECT_NEAR(length.gain(4, kPrice), 5 / 1.8, 0.01);
  EXPECT_EQ(length.gain(0, kPrice), 1);
}

TEST(DraftLength, LetsAStepWithoutGuessesCountForNothing) {
  DraftLength fresh(8), length(8);
  for (int i = 0; i < 100; ++i) length.record(0, 0);
  EXPECT_EQ(length.next(kPrice), fresh.next(kPrice));
}

}  // namespace
}  // namespace ferrum
