// How many tokens to guess for a sequence, from how its guesses have fared.
#pragma once

namespace ferrum {

// A verified token costs about what a decoded one costs where the processor is the limit, and nearly nothing where
// reading the weights is. So guess boldly while guesses hold, little when they fail, and not at all where they fail
// always, but for a probe now and then. Counts alone decide: no clock, so a run can be repeated.
//
// Worst case, no guess ever right: seven in vain at first, then one per pause, and pauses double up to kLongestPause
// steps: below 1 % of the tokens in the long run.
class DraftLength {
 public:
  static constexpr int kFirstPause = 8, kLongestPause = 128;  // steps without a guess

  // max: at least 1.
  explicit DraftLength(int max);

  // Tokens to guess in the coming step; 0 = none. One call per step in which the sequence could have had guesses.
  int next();
  // What became of the guesses of a step that had some.
  void record(int drafted, int accepted);

 private:
  const int max_;
  int length_;
  double rate_;    // moving average of the share that was right
  int pause_ = 0;  // steps that are left of the current pause
  int next_pause_ = kFirstPause;
};

}  // namespace ferrum
