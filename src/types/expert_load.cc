#include "types/expert_load.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ferrum {
namespace {

double total_of(const ExpertLoad& load) {
  return static_cast<double>(std::accumulate(load.tokens.begin(), load.tokens.end(), int64_t{0}));
}

}  // namespace

double load_entropy(const ExpertLoad& load) {
  const double total = total_of(load);
  if (total <= 0 || load.tokens.size() < 2) return 1;
  double entropy = 0;
  for (const int64_t count : load.tokens) {
    if (count <= 0) continue;
    const double share = static_cast<double>(count) / total;
    entropy -= share * std::log(share);
  }
  return entropy / std::log(static_cast<double>(load.tokens.size()));
}

double load_peak(const ExpertLoad& load) {
  const double total = total_of(load);
  if (total <= 0) return 1;
  const auto most = static_cast<double>(*std::max_element(load.tokens.begin(), load.tokens.end()));
  return most * static_cast<double>(load.tokens.size()) / total;
}

}  // namespace ferrum
