// How many tokens to guess for a sequence, from how its guesses have fared and what a guess costs.
#pragma once

namespace ferrum {

// A guess that holds saves a step, one that does not costs its price: the time that guessing and verifying it adds to a
// step, as a share of the step without. Guesses are verified in order up to the first wrong one, so with a share p of
// right ones k guesses give 1 + p + p^2 + ... + p^k tokens at the cost of 1 + k * price steps. The best k is the one
// with most tokens per step (Leviathan et al., "Fast Inference from Transformers via Speculative Decoding", ICML 2023,
// with a price for verifying as well); where none beats a step without guesses, none are made, but for a probe now and
// then.
//
// Worst case, no guess ever right: ten in vain at first, then one per pause, and pauses double up to kLongestPause
// steps: below 1 % of the tokens in the long run.
class DraftLength {
 public:
  static constexpr int kFirstPause = 8, kLongestPause = 128;  // steps without a guess
  // Where guesses cost more than they can save however good they are. A probe is dear then, too: a draft model must
  // first read what it missed.
  static constexpr int kDearPause = 1024;

  // max: at least 1.
  explicit DraftLength(int max);

  // Tokens to guess in the coming step, each at this price; 0 = none. One call per step in which the sequence could
  // have had guesses.
  int next(double price);
  // Tokens per cost of `count` guesses as next() expects them; 1 = that of a step without guesses.
  double gain(int count, double price) const;
  // What became of the guesses of a step that had some.
  void record(int drafted, int accepted);

 private:
  int best(double price) const;

  const int max_;
  double rate_;          // moving average of what became of guesses that were reached: 1 = right, 0 = wrong
  int reached_;          // guesses that the average has seen, the prior's included
  int pause_ = 0;        // steps that are left of the current pause
  bool probes_ = false;  // one was made, and a guess is due whatever is expected of it: prices change
  int next_pause_ = kFirstPause;
};

}  // namespace ferrum
