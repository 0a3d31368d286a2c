#include "engine/service_rate.h"

#include <algorithm>
#include <cmath>

namespace ferrum {
namespace {

constexpr double kMemorySeconds = 30;

}  // namespace

void ServiceRate::add(double seconds, int finished) {
  const double keep = std::exp(-seconds / kMemorySeconds);
  seconds_ = seconds_ * keep + seconds;
  finished_ = finished_ * keep + finished;
}

double ServiceRate::seconds_for(double requests) const { return requests * seconds_ / std::max(1.0, finished_); }

}  // namespace ferrum
