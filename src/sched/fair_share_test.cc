#include "sched/fair_share.h"

#include <gtest/gtest.h>

#include <set>

namespace ferrum {
namespace {

TEST(FairShare, LiftsOneThatComesBackToTheLeastServedThatWaits) {
  FairShare shares;
  const auto busy = shares.enter("busy"), other = shares.enter("other");
  shares.charge(busy, 500);
  shares.charge(other, 300);
  const auto late = shares.enter("late");
  EXPECT_EQ(shares.served(late), 300u) << "nothing is collected for the time away";
  shares.charge(late, 1000);
  shares.start(late);
  shares.leave(late);
  EXPECT_EQ(shares.enter("late"), late);
  EXPECT_EQ(shares.served(late), 1300u) << "and nothing is forgiven";
}

TEST(FairShare, LiftsToTheLastWhoWaitedWhereNobodyDoes) {
  FairShare shares;
  const auto heavy = shares.enter("heavy");
  shares.start(heavy);
  shares.charge(heavy, 900);
  EXPECT_EQ(shares.served(shares.enter("late")), 900u);
}

TEST(FairShare, ForgetsOnlyThoseWhoseCounterWouldBeLifted) {
  FairShare shares;
  const auto waits = shares.enter("waits"), owes = shares.enter("owes");
  shares.charge(waits, 100);
  shares.charge(owes, 10'000);
  shares.start(owes);
  shares.leave(owes);
  std::set<FairShare::Tenant> places;
  for (int i = 0; i < 1000; ++i) {
    const auto tenant = shares.enter("visitor " + std::to_string(i));
    places.insert(tenant);
    shares.start(tenant);
    shares.leave(tenant);
  }
  EXPECT_EQ(places.size(), 1u) << "their places are used again";
  EXPECT_EQ(shares.served(shares.enter("owes")), 10'000u);
}

}  // namespace
}  // namespace ferrum
