// Which experts stay in memory: never more than there are slots, never one away that is being computed, and hits as
// many as the use of experts allows, by simulation.
#include "moe/expert_slots.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <list>
#include <numeric>
#include <random>
#include <set>

namespace ferrum {
namespace {

using Random = std::mt19937_64;

// Goes through a step as whoever computes does, and checks each round. Returns what had to be loaded.
int run_step(ExpertSlots& slots, const std::vector<int32_t>& active) {
  slots.begin_step(active);
  int loads = 0;
  for (std::span<const int32_t> rest = active; !rest.empty();) {
    const size_t count = slots.next_round(rest);
    EXPECT_GE(count, 1u);
    if (count == 0) return loads;
    std::set<int> used;
    for (const int32_t e : rest.first(count)) {
      EXPECT_GE(slots.slot_of(e), 0);
      EXPECT_LT(slots.slot_of(e), slots.num_slots());
      EXPECT_TRUE(used.insert(slots.slot_of(e)).second) << "two experts in slot " << slots.slot_of(e);
    }
    for (const ExpertSlots::Load& load : slots.loads()) {
      EXPECT_EQ(slots.slot_of(load.expert), load.slot);
      EXPECT_TRUE(std::find(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(count), load.expert) !=
                  rest.begin() + static_cast<std::ptrdiff_t>(count));
    }
    loads += static_cast<int>(slots.loads().size());
    rest = rest.subspan(count);
  }
  return loads;
}

// `count` different experts, each with the probability of its weight.
std::vector<int32_t> draw(Random& random, const std::vector<double>& weights, int count) {
  std::set<int32_t> chosen;
  std::discrete_distribution<int32_t> expert(weights.begin(), weights.end());
  while (static_cast<int>(chosen.size()) < count) chosen.insert(expert(random));
  return {chosen.begin(), chosen.end()};
}

std::vector<double> zipf(int experts) {
  std::vector<double> weights;
  for (int e = 0; e < experts; ++e) weights.push_back(1.0 / (e + 1));
  return weights;
}

// Loads with slots that are given to whatever was not used for longest, the policy that everybody has.
class LeastRecentlyUsed {
 public:
  explicit LeastRecentlyUsed(int slots) : slots_(static_cast<size_t>(slots)) {}
  int run_step(const std::vector<int32_t>& active) {
    int loads = 0;
    for (const int32_t e : active) {
      const auto found = std::find(order_.begin(), order_.end(), e);
      loads += found == order_.end();
      if (found != order_.end()) order_.erase(found);
      order_.push_back(e);
      if (order_.size() > slots_) order_.pop_front();
    }
    return loads;
  }

 private:
  size_t slots_;
  std::list<int32_t> order_;
};

TEST(ExpertSlots, RandomStepsNeverBreakARound) {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    const int experts = 1 + static_cast<int>(random() % 40);
    ExpertSlots slots(experts, 1 + static_cast<int>(random() % static_cast<uint64_t>(experts)));
    for (int step = 0; step < 30; ++step) {
      run_step(slots, draw(random, std::vector<double>(static_cast<size_t>(experts), 1.0),
                           1 + static_cast<int>(random() % static_cast<uint64_t>(experts))));
    }
  }
}

TEST(ExpertSlots, AllThatHaveAPlaceAreLoadedOnce) {
  Random random(2);
  ExpertSlots slots(16, 16);
  int loads = 0;
  for (int step = 0; step < 100; ++step) loads += run_step(slots, draw(random, zipf(16), 4));
  EXPECT_EQ(loads, 16);
}

// Equal use of all: the hits are the share of experts that have a place. 2,000 steps of 8: 16,000 draws, whose share
// has a standard deviation below 0.004.
TEST(ExpertSlots, EqualUseHitsAsOftenAsThereAreSlots) {
  Random random(3);
  for (const int places : {8, 32, 64, 120}) {
    ExpertSlots slots(128, places);
    for (int step = 0; step < 200; ++step) run_step(slots, draw(random, std::vector<double>(128, 1.0), 8));
    int loads = 0;
    for (int step = 0; step < 2000; ++step) loads += run_step(slots, draw(random, std::vector<double>(128, 1.0), 8));
    EXPECT_NEAR(1 - loads / 16000.0, places / 128.0, 0.02) << places;
  }
}

// Some experts used far more often than others, as models do: better than least recently used.
TEST(ExpertSlots, UnequalUseHitsMoreOftenThanWithLeastRecentlyUsed) {
  Random random(4);
  for (const int places : {16, 32, 64}) {
    ExpertSlots slots(128, places);
    LeastRecentlyUsed other(places);
    int loads = 0, theirs = 0;
    for (int step = 0; step < 2000; ++step) {
      const std::vector<int32_t> active = draw(random, zipf(128), 8);
      loads += run_step(slots, active);
      theirs += other.run_step(active);
    }
    EXPECT_LT(loads, 0.95 * theirs) << places;
  }
}

// A text whose experts are others than those of the text before: the old ones go.
TEST(ExpertSlots, FollowsAChangeOfUse) {
  Random random(5);
  ExpertSlots slots(64, 16);
  std::vector<double> before(64, 0.0), after(64, 0.0);
  std::fill(before.begin(), before.begin() + 12, 1.0);
  std::fill(after.begin() + 32, after.begin() + 44, 1.0);
  for (int step = 0; step < 1000; ++step) run_step(slots, draw(random, before, 8));
  for (int step = 0; step < 150; ++step) run_step(slots, draw(random, after, 8));
  EXPECT_EQ(run_step(slots, draw(random, after, 8)), 0);
}

// Prompts go through all experts: what is there is not thrown away for what was just computed.
TEST(ExpertSlots, GoingThroughAllAgainAndAgainLoadsOnlyWhatHasNoPlace) {
  std::vector<int32_t> all(128);
  std::iota(all.begin(), all.end(), 0);
  for (const int places : {8, 64, 127}) {
    ExpertSlots slots(128, places);
    for (int step = 0; step < 5; ++step) run_step(slots, all);
    for (int step = 0; step < 5; ++step) EXPECT_LE(run_step(slots, all), 128 - places + 1) << places;
  }
}

}  // namespace
}  // namespace ferrum
