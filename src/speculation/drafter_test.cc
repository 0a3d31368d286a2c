#include "speculation/drafter.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

constexpr GuessPrices kPrices;
SpeculationParams params(SpeculationMode mode) { return {mode, 4, 2, 4}; }

// 1 2 3 1 2 3 ...: the lookup knows how it goes on.
std::vector<TokenId> circle(size_t length) {
  std::vector<TokenId> text;
  for (size_t i = 0; i < length; ++i) text.push_back(static_cast<TokenId>(1 + i % 3));
  return text;
}
std::vector<TokenId> new_words(size_t length) {
  std::vector<TokenId> text;
  for (size_t i = 0; i < length; ++i) text.push_back(static_cast<TokenId>(100 + i));
  return text;
}

TEST(Drafter, EachModeAsksItsOwnSource) {
  for (const SpeculationMode mode : {SpeculationMode::kOff, SpeculationMode::kNgram}) {
    EXPECT_EQ(Drafter(params(mode)).propose(new_words(9), 10, kPrices).count, 0);
  }
  EXPECT_EQ(Drafter(params(SpeculationMode::kOff)).propose(circle(9), 10, kPrices).count, 0);
  const std::vector<TokenId> text = circle(9);
  Drafter ngram(params(SpeculationMode::kNgram));
  const Proposal found = ngram.propose(text, 10, kPrices);
  EXPECT_EQ(found.source, GuessSource::kNgram);
  ASSERT_GE(found.count, 1);
  EXPECT_EQ(found.tokens.size(), static_cast<size_t>(found.count));
  EXPECT_EQ(found.tokens[0], 1);
  const Proposal made = Drafter(params(SpeculationMode::kDraft)).propose(text, 10, kPrices);
  EXPECT_EQ(made.source, GuessSource::kDraft);
  EXPECT_GE(made.count, 1);
  EXPECT_TRUE(made.tokens.empty());
}

TEST(Drafter, BothLooksUpFirstAndAsksTheModelWhereNothingIsFound) {
  Drafter on_circle(params(SpeculationMode::kBoth)), on_new_words(params(SpeculationMode::kBoth));
  EXPECT_EQ(on_circle.propose(circle(9), 10, kPrices).source, GuessSource::kNgram);
  EXPECT_EQ(on_new_words.propose(new_words(9), 10, kPrices).source, GuessSource::kDraft);
}

// What is found is wrong every time: after a few steps the model is asked instead, and its guesses, which hold, go on.
TEST(Drafter, BothLeavesASourceThatIsWrongForTheOther) {
  Drafter drafter(params(SpeculationMode::kBoth));
  const std::vector<TokenId> text = circle(12);
  int by_model = 0;
  for (int step = 0; step < 50; ++step) {
    const Proposal proposal = drafter.propose(text, 10, kPrices);
    const bool model = proposal.source == GuessSource::kDraft;
    by_model += model ? 1 : 0;
    drafter.record(proposal.source, proposal.count, model ? proposal.count : 0);
  }
  EXPECT_GT(by_model, 40);
}

TEST(Drafter, NeverGuessesMoreThanItsLimit) {
  for (const SpeculationMode mode : {SpeculationMode::kNgram, SpeculationMode::kDraft, SpeculationMode::kBoth}) {
    Drafter drafter(params(mode));
    for (int i = 0; i < 30; ++i) {
      const int limit = i % 4;
      const Proposal proposal = drafter.propose(circle(12), limit, kPrices);
      EXPECT_LE(proposal.count, limit);
      drafter.record(proposal.source, proposal.count, proposal.count);
    }
  }
}

}  // namespace
}  // namespace ferrum
