#include "speculation/draft_length.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace ferrum {
namespace {

// Before anything is known: a share of right guesses with which it is worth finding out, soon outweighed.
constexpr double kFirstRate = 0.6;
constexpr int kFirstWeight = 2;
constexpr double kLeastWeight = 0.125;  // of the newest guess in the average, once there were many
constexpr double kProbeMargin = 1.05;   // a probe that fails ends guessing again, one that holds gives another chance
constexpr double kTrustAbove = 0.5;     // of the way from the price to 1: the next pause is a short one again

}  // namespace

DraftLength::DraftLength(int max) : max_(max), rate_(kFirstRate), reached_(kFirstWeight) {
  FERRUM_CHECK(max >= 1, "a longest draft that is checked with the request");
}

double DraftLength::gain(int count, double price) const {
  double tokens = 1, chance = 1;
  for (int i = 0; i < count; ++i) tokens += chance *= rate_;
  return tokens / (1 + count * price);
}

// The gain grows with the count up to its one maximum: each guess adds less than the one before it, at the same price.
int DraftLength::best(double price) const {
  int count = 0;
  double tokens = 1, chance = rate_;
  while (count < max_ && (tokens + chance) * (1 + count * price) > tokens * (1 + (count + 1) * price)) {
    tokens += chance;
    chance *= rate_;
    ++count;
  }
  return count;
}

int DraftLength::next(double price) {
  FERRUM_CHECK(price > 0, "guesses for nothing");
  if (pause_ > kLongestPause && price < 1) pause_ = kFirstPause;  // the load has changed
  if (pause_ > 0) {
    probes_ = --pause_ == 0;
    return 0;
  }
  if (std::exchange(probes_, false)) {
    rate_ = std::max(rate_, std::min(1.0, kProbeMargin * price));
    return std::max(1, best(price));
  }
  if (rate_ > price + kTrustAbove * (1 - price)) next_pause_ = kFirstPause;
  if (const int count = best(price); count > 0) return count;
  if (price >= 1) {
    pause_ = kDearPause;
    return 0;
  }
  pause_ = next_pause_;
  next_pause_ = std::min(kLongestPause, 2 * next_pause_);
  return 0;
}

void DraftLength::record(int drafted, int accepted) {
  FERRUM_CHECK(0 <= accepted && accepted <= drafted, "more guesses right than there were");
  const auto see = [&](double outcome) { rate_ += std::max(kLeastWeight, 1.0 / ++reached_) * (outcome - rate_); };
  for (int i = 0; i < accepted; ++i) see(1);
  if (accepted < drafted) see(0);  // those behind it were not reached
}

}  // namespace ferrum
