#include <cmath>
#include <limits>

#include "base/check.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

// Below this, 127 / max|x| could overflow; such a block contributes nothing to any dot product of weights below 1e8.
constexpr float kTiny = 1e-30f;

// Quantises n values to q; returns the scale d.
float quantize_symmetric(const float* x, int8_t* q, int n) {
  float max = 0.0f;
  bool finite = true;
  for (int i = 0; i < n; ++i) {
    max = std::fmax(max, std::fabs(x[i]));
    finite = finite && std::isfinite(x[i]);
  }
  if (!finite || max < kTiny) {
    for (int i = 0; i < n; ++i) q[i] = 0;
    return finite ? 0.0f : std::numeric_limits<float>::quiet_NaN();
  }
  const float inverse = 127.0f / max;
  for (int i = 0; i < n; ++i) q[i] = static_cast<int8_t>(std::nearbyintf(x[i] * inverse));
  return max / 127.0f;
}

int sum(const int8_t* q, int n) {
  int total = 0;
  for (int i = 0; i < n; ++i) total += q[i];
  return total;
}

}  // namespace

void quantize_activations(const float* x, ActBlock32* blocks, int64_t n) {
  FERRUM_CHECK(n >= 0 && n % kSmallBlock == 0, "activations must be whole blocks of 32");
  for (int64_t b = 0; b < n / kSmallBlock; ++b) {
    blocks[b].d = quantize_symmetric(x + b * kSmallBlock, blocks[b].qs, kSmallBlock);
    blocks[b].sum = sum(blocks[b].qs, kSmallBlock);
  }
}

void quantize_activations(const float* x, BlockQ8_K* blocks, int64_t n) {
  FERRUM_CHECK(n >= 0 && n % kSuperBlock == 0, "activations must be whole blocks of 256");
  for (int64_t b = 0; b < n / kSuperBlock; ++b) {
    blocks[b].d = quantize_symmetric(x + b * kSuperBlock, blocks[b].qs, kSuperBlock);
    for (int g = 0; g < 16; ++g) blocks[b].bsums[g] = static_cast<int16_t>(sum(blocks[b].qs + 16 * g, 16));
  }
}

}  // namespace ferrum
