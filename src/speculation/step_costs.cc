#include "speculation/step_costs.h"

#include <algorithm>

namespace ferrum {
namespace {

constexpr double kKeep = 0.98;        // of a sum per observation: the last fifty or so count
constexpr double kPrior = 8;          // observations, one x apart, that the usual slope is worth
constexpr double kOutlier = 3;        // times what was expected: counts as that much
constexpr double kLeastPrice = 0.01;  // nothing is free

}  // namespace

void CostLine::add(double x, double y) {
  if (known() && at(x) > 0) y = std::min(y, kOutlier * at(x));
  for (double* sum : {&weight_, &x_, &y_, &xx_, &xy_}) *sum *= kKeep;
  weight_ += 1, x_ += x, y_ += y, xx_ += x * x, xy_ += x * y;
}

// Least squares, drawn to the usual slope, held between a flat line and one through the origin.
double CostLine::slope() const {
  if (weight_ == 0) return 0;
  const double mean_x = x_ / weight_, mean_y = y_ / weight_;
  const double usual = kSlopeShare * mean_y / (1 + kSlopeShare * mean_x);
  const double steepest = mean_x > 0 ? mean_y / mean_x : 0;
  const double fitted = (xy_ - x_ * mean_y + kPrior * usual) / (xx_ - x_ * mean_x + kPrior);
  return std::clamp(fitted, 0.0, steepest);
}

double CostLine::at(double x) const { return weight_ == 0 ? 0 : y_ / weight_ + slope() * (x - x_ / weight_); }

GuessPrices StepCosts::prices(int decoding, int drafting) const {
  GuessPrices prices;
  const double step = step_.at(std::max(1, decoding));
  if (!step_.known() || step <= 0) return prices;
  // Everybody waits for a guess, and only one sequence gains by it: its share of the step is what it can save.
  const double share = step / std::max(1, decoding);
  prices.ngram = std::max(kLeastPrice, step_.slope() / share);
  if (!pass_.known()) {
    prices.draft = prices.ngram + GuessPrices{}.draft - GuessPrices{}.ngram;
  } else {
    const int rows = std::max(1, drafting);
    prices.draft = prices.ngram + pass_.at(rows) / rows / share;
  }
  return prices;
}

}  // namespace ferrum
