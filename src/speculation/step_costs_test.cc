#include "speculation/step_costs.h"

#include <gtest/gtest.h>

#include <random>

namespace ferrum {
namespace {

// Steps of `rows` sequences with 0 to 4 guesses each, of which a token takes `per_token` and the rest `fixed`, and
// passes of a draft model that takes `share` of that; with a tenth of noise.
StepCosts measured(int rows, double fixed, double per_token, double share) {
  StepCosts costs;
  std::mt19937 rng(3);
  std::uniform_real_distribution<double> noise(0.9, 1.1);
  for (int i = 0; i < 300; ++i) {
    const int tokens = rows * (1 + static_cast<int>(rng() % 5));
    costs.add_step(tokens, (fixed + per_token * tokens) * noise(rng));
    costs.add_draft_pass(rows, share * (fixed + per_token * rows) * noise(rng));
  }
  return costs;
}

TEST(StepCosts, OneSequencePaysForAGuessWhatItsRowAndItsPassTake) {
  const GuessPrices prices = measured(1, 0.080, 0.020, 0.1).prices(1, 1);
  EXPECT_NEAR(prices.ngram, 0.2, 0.05);
  EXPECT_NEAR(prices.draft, 0.2 + 0.1, 0.06);
}

// Ten rows of 20 ms each beside 80 fixed: a tenth of 280 ms is what a sequence can save, and a row costs 20.
TEST(StepCosts, GuessesGetDearWhereManySequencesKeepTheProcessorBusy) {
  const GuessPrices prices = measured(10, 0.080, 0.020, 0.1).prices(10, 10);
  EXPECT_NEAR(prices.ngram, 0.71, 0.1);
  EXPECT_NEAR(prices.draft, 0.71 + 0.1, 0.12);
}

TEST(StepCosts, APassForOneCostsMoreThanItsShareOfAPassForMany) {
  const StepCosts costs = measured(10, 0.080, 0.001, 0.5);
  EXPECT_GT(costs.prices(10, 1).draft, costs.prices(10, 10).draft);
}

TEST(StepCosts, SayTheUsualUntilEnoughWasMeasured) {
  StepCosts costs;
  costs.add_step(1, 5.0);
  costs.add_draft_pass(1, 5.0);
  const GuessPrices usual, prices = costs.prices(1, 1);
  EXPECT_EQ(prices.ngram, usual.ngram);
  EXPECT_EQ(prices.draft, usual.draft);
}

// Steps that are all alike tell what they cost, and nothing about what a further token would.
TEST(StepCosts, StepsOfOneSizeGiveAGuessTheUsualShare) {
  StepCosts costs;
  for (int i = 0; i < 50; ++i) costs.add_step(1, i % 2 == 0 ? 0.1 : 0.11);
  EXPECT_NEAR(costs.prices(1, 1).ngram, CostLine::kSlopeShare / (1 + CostLine::kSlopeShare), 0.001);
}

TEST(StepCosts, FollowAMachineThatBecomesSlower) {
  StepCosts costs = measured(1, 0.080, 0.020, 0.1);
  for (int i = 0; i < 300; ++i) costs.add_draft_pass(1, 0.2);
  EXPECT_GT(costs.prices(1, 1).draft, 1.5);
}

// No measurement, however odd, makes a guess free, negative or not a number.
TEST(StepCosts, PricesArePositiveWhateverWasMeasured) {
  std::mt19937 rng(9);
  std::uniform_real_distribution<double> any(0, 1);
  for (int run = 0; run < 200; ++run) {
    StepCosts costs;
    for (int i = 0; i < 30; ++i) {
      costs.add_step(static_cast<int>(rng() % 40), rng() % 4 == 0 ? 0 : any(rng));
      costs.add_draft_pass(static_cast<int>(rng() % 40), rng() % 4 == 0 ? 0 : any(rng));
      const GuessPrices prices = costs.prices(static_cast<int>(rng() % 40), static_cast<int>(rng() % 40));
      EXPECT_GT(prices.ngram, 0);
      EXPECT_GE(prices.draft, prices.ngram);
    }
  }
}

}  // namespace
}  // namespace ferrum
