#include "engine/service_rate.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

TEST(ServiceRate, TellsHowLongRequestsTake) {
  ServiceRate rate;
  EXPECT_EQ(rate.seconds_for(10), 0);
  for (int i = 0; i < 10'000; ++i) rate.add(0.05, i % 4 == 0 ? 1 : 0);  // 5 per second
  EXPECT_NEAR(rate.seconds_for(50), 10, 0.1);
}

TEST(ServiceRate, FollowsWhatHappensLately) {
  ServiceRate rate;
  for (int i = 0; i < 1000; ++i) rate.add(0.1, 1);
  EXPECT_NEAR(rate.seconds_for(10), 1, 0.01);
  for (int i = 0; i < 300; ++i) rate.add(1, 1);
  EXPECT_NEAR(rate.seconds_for(10), 10, 0.5);
}

TEST(ServiceRate, CountsOnTheFirstOneToFinishSoon) {
  ServiceRate rate;
  for (int i = 0; i < 8; ++i) rate.add(0.5, 0);
  EXPECT_GT(rate.seconds_for(1), 3);
  EXPECT_LE(rate.seconds_for(1), 4);
}

}  // namespace
}  // namespace ferrum
