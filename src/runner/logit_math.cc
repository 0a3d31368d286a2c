#include "runner/logit_math.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace ferrum {
namespace {

// Independent accumulators per row: what lets the compiler keep a loop in vector registers without reordering sums.
constexpr size_t kLanes = 16;

// e^x for x <= 0, 0 below -87. Cody-Waite reduction by ln 2 and the degree-6 Chebyshev interpolant on [-ln2/2, ln2/2];
// relative error below 2e-7. Branch-free, so that loops over it vectorise.
inline float exp_nonpositive(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  constexpr float kRound = 0x1.8p23f;  // adding it leaves the nearest integer in the low mantissa bits
  const float shifted = clamped * 1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 0.0013941108f;
  p = p * r + 0.008375126f;
  p = p * r + 0.04166635f;
  p = p * r + 0.16666415f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const int32_t exponent = std::bit_cast<int32_t>(shifted) - std::bit_cast<int32_t>(kRound);
  const float y = std::bit_cast<float>(std::bit_cast<int32_t>(p) + exponent * (1 << 23));
  return x < -87.0f ? 0.0f : y;
}

double sum_block(std::span<const float> x, float max, float scale) {
  float lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= x.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) lanes[j] += exp_nonpositive((x[i + j] - max) * scale);
  }
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  for (; i < x.size(); ++i) sum += exp_nonpositive((x[i] - max) * scale);
  return sum;
}

}  // namespace

LogitScan scan_logits(std::span<const float> logits) {
  constexpr float kMax = std::numeric_limits<float>::max();
  float best[kLanes];
  uint32_t bad[kLanes] = {};
  std::fill(best, best + kLanes, -std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= logits.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) {
      const float x = logits[i + j];
      best[j] = x > best[j] ? x : best[j];
      bad[j] |= x <= kMax ? 0u : 1u;  // true for NaN too
    }
  }
  for (; i < logits.size(); ++i) {
    best[0] = logits[i] > best[0] ? logits[i] : best[0];
    bad[0] |= logits[i] <= kMax ? 0u : 1u;
  }
  LogitScan result{best[0], false};
  for (size_t j = 0; j < kLanes; ++j) {
    result.max = std::max(result.max, best[j]);
    result.invalid = result.invalid || bad[j] != 0;
  }
  return result;
}

TokenId first_with(std::span<const float> logits, float max) {
  const auto it = std::find(logits.begin(), logits.end(), max);
  FERRUM_CHECK(it != logits.end(), "the maximum of the logits is not among them");
  return static_cast<TokenId>(it - logits.begin());
}

double sum_exp(std::span<const float> logits, float max, float scale, std::vector<double>* blocks) {
  if (blocks != nullptr) blocks->clear();
  double sum = 0;
  for (size_t begin = 0; begin < logits.size(); begin += kSumBlock) {
    const double block = sum_block(logits.subspan(begin, std::min(kSumBlock, logits.size() - begin)), max, scale);
    if (blocks != nullptr) blocks->push_back(block);
    sum += block;
  }
  return sum;
}

float exp_weight(float logit, float max, float scale) { return exp_nonpositive((logit - max) * scale); }

void top_n(std::span<const float> logits, int n, std::vector<ScoredToken>& out) {
  out.clear();
  if (n <= 0) return;
  float worst = -std::numeric_limits<float>::infinity();  // of the heap; later tokens of equal logit rank after it
  const auto capacity = static_cast<size_t>(n);
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] > worst)) continue;
    if (out.size() == capacity) {
      std::pop_heap(out.begin(), out.end(), ranks_before);
      out.pop_back();
    }
    out.push_back({static_cast<TokenId>(i), logits[i]});
    std::push_heap(out.begin(), out.end(), ranks_before);  // the front is the one that ranks last
    if (out.size() == capacity) worst = out.front().logit;
  }
  std::sort_heap(out.begin(), out.end(), ranks_before);
}

}  // namespace ferrum
