// The few statistics that a load run reports.
#pragma once

#include <vector>

namespace ferrum {

// p in [0, 100], linear between the two nearest ranks (NumPy's default); 0 of nothing. Sorts a copy.
double percentile(std::vector<double> values, double p);

struct Distribution {
  double mean = 0, p50 = 0, p90 = 0, p99 = 0;
};
Distribution distribution_of(const std::vector<double>& values);

// Mean of repeated runs and half of its 95 % confidence interval (Student's t); 0 of fewer than two.
struct Estimate {
  double mean = 0, half_width = 0;
};
Estimate estimate_of(const std::vector<double>& repeats);

}  // namespace ferrum
