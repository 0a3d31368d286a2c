#include "apps/cli/bench_serve/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

namespace ferrum {
namespace {

double mean_of(const std::vector<double>& values) {
  return values.empty() ? 0 : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double at_rank(const std::vector<double>& sorted, double p) {
  if (sorted.empty()) return 0;
  const double rank = p / 100 * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(rank);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

// 97.5 % quantile of Student's t by degrees of freedom, from 1; the normal distribution's beyond.
double t_quantile(size_t freedom) {
  constexpr std::array<double, 30> kTable = {12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
                                             2.201,  2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
                                             2.080,  2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042};
  return freedom <= kTable.size() ? kTable[freedom - 1] : 1.96;
}

}  // namespace

double percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return at_rank(values, p);
}

Distribution distribution_of(const std::vector<double>& values) {
  std::vector<double> sorted = values;
  std::sort(sorted.begin(), sorted.end());
  return {mean_of(values), at_rank(sorted, 50), at_rank(sorted, 90), at_rank(sorted, 99)};
}

Estimate estimate_of(const std::vector<double>& repeats) {
  Estimate estimate{mean_of(repeats), 0};
  if (repeats.size() < 2) return estimate;
  const auto count = static_cast<double>(repeats.size());
  double squares = 0;
  for (double value : repeats) squares += (value - estimate.mean) * (value - estimate.mean);
  estimate.half_width = t_quantile(repeats.size() - 1) * std::sqrt(squares / (count - 1) / count);
  return estimate;
}

}  // namespace ferrum
