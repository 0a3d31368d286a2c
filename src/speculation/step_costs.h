// What steps, verified guesses and passes of the draft model cost, learned from those that were made.
#pragma once

namespace ferrum {

// y ~ intercept + slope * x of the recent past, both >= 0. Steps that the system interrupted do not bend it much, nor
// do a few that were much alike.
class CostLine {
 public:
  void add(double x, double y);
  bool known() const { return weight_ >= kEnough; }
  double at(double x) const;
  double slope() const;

  // Where all x were alike, an x is taken to cost this share of what none costs.
  static constexpr double kSlopeShare = 0.25;

 private:
  static constexpr double kEnough = 4;

  double weight_ = 0, x_ = 0, y_ = 0, xx_ = 0, xy_ = 0;  // sums, the newest with weight 1
};

// Of one guess, as shares of the step that it is verified in.
struct GuessPrices {
  double ngram = 0.2;
  double draft = 0.35;
  double of(bool by_draft_model) const { return by_draft_model ? draft : ngram; }
};

// Prices follow the load: where the processor is busy with the rows of many sequences a verified row costs what a
// decoded one does, and hardly any guess pays. The numbers decide how many guesses are made, never what is answered.
class StepCosts {
 public:
  // A step in which nobody read a prompt.
  void add_step(int tokens, double seconds) { step_.add(tokens, seconds); }
  // A pass of the draft model in which nobody had to catch up with more than a token.
  void add_draft_pass(int tokens, double seconds) { pass_.add(tokens, seconds); }

  // In a step in which `decoding` sequences decode, the draft model guessing for `drafting` of them. Until enough was
  // measured, GuessPrices' own.
  GuessPrices prices(int decoding, int drafting) const;

 private:
  CostLine step_, pass_;
};

}  // namespace ferrum
