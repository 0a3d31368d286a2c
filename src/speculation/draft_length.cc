#include "speculation/draft_length.h"

#include <algorithm>

#include "base/check.h"

namespace ferrum {
namespace {

constexpr int kFirstLength = 4;
constexpr double kWeight = 0.25;     // of the newest observation in the moving average
constexpr double kFirstRate = 0.5;   // four failures from the threshold
constexpr double kStopBelow = 0.2;   // one guess right in five: hardly worth its rows
constexpr double kProbeRate = 0.25;  // a failed probe ends speculation again, a good one gives it another chance
constexpr double kTrustAbove = 0.5;  // the next pause is a short one again

}  // namespace

DraftLength::DraftLength(int max) : max_(max), length_(std::min(max, kFirstLength)), rate_(kFirstRate) {
  FERRUM_CHECK(max >= 1, "a longest draft that is checked with the request");
}

int DraftLength::next() {
  if (pause_ == 0) return length_;
  if (--pause_ == 0) {
    length_ = 1;
    rate_ = kProbeRate;
  }
  return 0;
}

void DraftLength::record(int drafted, int accepted) {
  FERRUM_CHECK(0 <= accepted && accepted <= drafted, "more guesses right than there were");
  if (drafted == 0) return;
  rate_ += kWeight * (static_cast<double>(accepted) / drafted - rate_);
  // After a rejection as long as what held, and one more to notice when it holds again.
  length_ = accepted == drafted ? std::min(max_, std::max(length_, 2 * drafted)) : std::min(max_, accepted + 1);
  if (rate_ > kTrustAbove) next_pause_ = kFirstPause;
  if (rate_ >= kStopBelow) return;
  pause_ = next_pause_;
  next_pause_ = std::min(kLongestPause, 2 * next_pause_);
}

}  // namespace ferrum
