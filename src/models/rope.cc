#include "models/rope.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string>

namespace ferrum {
namespace {

constexpr double kTau = 2.0 * std::numbers::pi;
constexpr float kFarthestPosition = 0x1p31f;  // positions are 32-bit

bool positive(double value) { return std::isfinite(value) && value > 0; }

Status check_positive(double value, const char* what) {
  if (positive(value)) return Status::ok();
  return invalid_argument(std::string("rope ") + what + " is " + std::to_string(value) +
                          "; it must be a finite number above 0");
}

Status check(const RopeParams& p, size_t divisors) {
  if (p.dim <= 0 || p.dim % 2 != 0) {
    return invalid_argument("rope dimension count is " + std::to_string(p.dim) + "; it must be even and above 0");
  }
  if (divisors != 0 && divisors != static_cast<size_t>(p.dim / 2)) {
    return invalid_argument("there are " + std::to_string(divisors) + " rope frequency factors for " +
                            std::to_string(p.dim / 2) + " rotated pairs");
  }
  FERRUM_RETURN_IF_ERROR(check_positive(p.base, "frequency base"));
  if (p.scaling == RopeScaling::kNone) return Status::ok();
  FERRUM_RETURN_IF_ERROR(check_positive(p.factor, "scaling factor"));
  if (p.scaling == RopeScaling::kLinear) return Status::ok();
  FERRUM_RETURN_IF_ERROR(check_positive(static_cast<double>(p.original_context), "original context length"));
  if (p.scaling == RopeScaling::kLlama3) {
    FERRUM_RETURN_IF_ERROR(check_positive(p.low_freq_factor, "low frequency factor"));
    FERRUM_RETURN_IF_ERROR(check_positive(p.high_freq_factor, "high frequency factor"));
    if (p.high_freq_factor < p.low_freq_factor) {
      return invalid_argument("the rope high frequency factor is smaller than the low one");
    }
    return Status::ok();
  }
  FERRUM_RETURN_IF_ERROR(check_positive(p.beta_fast, "beta fast"));
  FERRUM_RETURN_IF_ERROR(check_positive(p.beta_slow, "beta slow"));
  if (p.base == 1.0) return invalid_argument("YaRN with a rope frequency base of 1 has no bands");
  return check_positive(p.attention_factor, "attention factor");
}

// Llama 3.1: a pair whose wavelength exceeds original_context / low_freq_factor is divided by `factor`, one below
// original_context / high_freq_factor is kept.
double llama3_frequency(const RopeParams& p, double frequency) {
  const double rotations = static_cast<double>(p.original_context) * frequency / kTau;  // over the original context
  if (rotations > p.high_freq_factor) return frequency;
  if (rotations < p.low_freq_factor || p.high_freq_factor == p.low_freq_factor) return frequency / p.factor;
  const double keep = (rotations - p.low_freq_factor) / (p.high_freq_factor - p.low_freq_factor);
  return (1 - keep) * frequency / p.factor + keep * frequency;
}

// YaRN's ramp over the pair's index: 1 where the pair is interpolated fully, 0 where it is kept.
class YarnRamp {
 public:
  explicit YarnRamp(const RopeParams& p) {
    low_ = std::max(0.0, std::floor(pair_with_rotations(p, p.beta_fast)));
    high_ = std::min(static_cast<double>(p.dim - 1), std::ceil(pair_with_rotations(p, p.beta_slow)));
    if (low_ == high_) high_ += 0.001;
  }
  double operator()(int pair) const { return std::clamp((pair - low_) / (high_ - low_), 0.0, 1.0); }

 private:
  // The (fractional) index of the pair that turns `rotations` times over the original context.
  static double pair_with_rotations(const RopeParams& p, double rotations) {
    return p.dim * std::log(static_cast<double>(p.original_context) / (rotations * kTau)) / (2 * std::log(p.base));
  }
  double low_, high_;
};

double scaled_frequency(const RopeParams& p, int pair, double frequency) {
  switch (p.scaling) {
    case RopeScaling::kNone: return frequency;
    case RopeScaling::kLinear: return frequency / p.factor;
    case RopeScaling::kLlama3: return llama3_frequency(p, frequency);
    case RopeScaling::kYarn: {
      const double interpolated = YarnRamp(p)(pair);
      return frequency / p.factor * interpolated + frequency * (1 - interpolated);
    }
  }
  return frequency;
}

}  // namespace

Result<RopeSpec> make_rope(const RopeParams& params, std::span<const float> divisors) {
  FERRUM_RETURN_IF_ERROR(check(params, divisors.size()));
  RopeSpec rope;
  rope.layout = params.layout;
  rope.dim = params.dim;
  rope.inv_freq.reserve(static_cast<size_t>(params.dim / 2));
  for (int pair = 0; pair < params.dim / 2; ++pair) {
    double frequency = std::pow(params.base, -2.0 * pair / params.dim);
    if (!divisors.empty()) {
      const float divisor = divisors[static_cast<size_t>(pair)];
      if (!positive(divisor)) {
        return invalid_argument("rope frequency factor " + std::to_string(pair) + " is " + std::to_string(divisor) +
                                "; it must be a finite number above 0");
      }
      frequency /= divisor;
    }
    frequency = scaled_frequency(params, pair, frequency);
    const auto rounded = static_cast<float>(frequency);
    if (!std::isfinite(rounded * kFarthestPosition)) {
      return invalid_argument("the rope parameters give pair " + std::to_string(pair) + " an infinite angle");
    }
    rope.inv_freq.push_back(rounded);
  }
  if (params.scaling == RopeScaling::kYarn) {
    const double stretch = params.factor > 1 ? 0.1 * std::log(params.factor) + 1 : 1.0;
    rope.magnitude = static_cast<float>(stretch * params.attention_factor);
  }
  return rope;
}

}  // namespace ferrum
