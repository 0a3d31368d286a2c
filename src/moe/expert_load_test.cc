#include "types/expert_load.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ferrum {
namespace {

TEST(ExpertLoad, EntropyAndPeakOfKnownDistributions) {
  EXPECT_DOUBLE_EQ(load_entropy({{5, 5, 5, 5}, 0}), 1);
  EXPECT_DOUBLE_EQ(load_peak({{5, 5, 5, 5}, 0}), 1);
  EXPECT_DOUBLE_EQ(load_entropy({{0, 7, 0, 0}, 0}), 0);
  EXPECT_DOUBLE_EQ(load_peak({{0, 7, 0, 0}, 0}), 4);
  EXPECT_DOUBLE_EQ(load_entropy({{3, 3, 0, 0}, 0}), 0.5);
  EXPECT_DOUBLE_EQ(load_entropy({{1, 3}, 0}), -(0.25 * std::log2(0.25) + 0.75 * std::log2(0.75)));
  EXPECT_DOUBLE_EQ(load_peak({{1, 3}, 0}), 1.5);
}

TEST(ExpertLoad, NothingChosenIsEqualUse) {
  EXPECT_EQ(load_entropy({{0, 0}, 9}), 1);
  EXPECT_EQ(load_peak({{0, 0}, 9}), 1);
  EXPECT_EQ(load_entropy({{4}, 0}), 1);
}

}  // namespace
}  // namespace ferrum
