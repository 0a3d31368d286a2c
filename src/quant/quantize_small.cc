// Blocks of 32. Q4_0 to Q8_0 and MXFP4 follow the rounding of ggml's reference quantisers exactly; the order of the
// float operations matters.
#include <algorithm>
#include <cmath>
#include <span>

#include "quant/quantize_internal.h"
#include "quant/scale_search.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

using Row32 = std::span<const float, kSmallBlock>;

// Symmetric with an offset of half the range: the element of largest magnitude becomes the lowest level.
float encode_offset(const float* x, int half, int q[kSmallBlock]) {
  const float d = signed_extreme(Row32(x, kSmallBlock)) / static_cast<float>(-half);
  const float inverse = inverse_or_zero(d);
  const float offset = static_cast<float>(half) + 0.5f;
  for (int i = 0; i < kSmallBlock; ++i) {
    q[i] = std::min(2 * half - 1, static_cast<int>(x[i] * inverse + offset));
  }
  return d;
}

struct AffineHeader {
  uint16_t d, m;
};

AffineHeader encode_affine(const float* x, int levels, int q[kSmallBlock]) {
  const auto [min, max] = std::minmax_element(x, x + kSmallBlock);
  const float d = (*max - *min) / static_cast<float>(levels);
  const float inverse = inverse_or_zero(d);
  for (int i = 0; i < kSmallBlock; ++i) q[i] = std::min(levels, static_cast<int>((x[i] - *min) * inverse + 0.5f));
  return {f32_to_f16(d), f32_to_f16(*min)};
}

template <typename Block>
void put_four_bits(const int q[kSmallBlock], Block& block) {
  std::fill(std::begin(block.qs), std::end(block.qs), uint8_t{0});
  for (int i = 0; i < kSmallBlock; ++i) put_nibble(block.qs, i, q[i] & 0x0f);
}

template <typename Block>
void put_five_bits(const int q[kSmallBlock], Block& block) {
  put_four_bits(q, block);
  std::fill(std::begin(block.qh), std::end(block.qh), uint8_t{0});
  for (int i = 0; i < kSmallBlock; ++i) {
    block.qh[i / 8] = static_cast<uint8_t>(block.qh[i / 8] | ((q[i] >> 4) << (i % 8)));
  }
}

}  // namespace

void encode(const float* x, BlockQ4_0& block) {
  int q[kSmallBlock];
  block.d = f32_to_f16(encode_offset(x, 8, q));
  put_four_bits(q, block);
}

void encode(const float* x, BlockQ4_1& block) {
  int q[kSmallBlock];
  const AffineHeader header = encode_affine(x, 15, q);
  block.d = header.d;
  block.m = header.m;
  put_four_bits(q, block);
}

void encode(const float* x, BlockQ5_0& block) {
  int q[kSmallBlock];
  block.d = f32_to_f16(encode_offset(x, 16, q));
  put_five_bits(q, block);
}

void encode(const float* x, BlockQ5_1& block) {
  int q[kSmallBlock];
  const AffineHeader header = encode_affine(x, 31, q);
  block.d = header.d;
  block.m = header.m;
  put_five_bits(q, block);
}

void encode(const float* x, BlockQ8_0& block) {
  const float d = std::fabs(signed_extreme(Row32(x, kSmallBlock))) / 127.0f;
  const float inverse = inverse_or_zero(d);
  block.d = f32_to_f16(d);
  for (int i = 0; i < kSmallBlock; ++i) block.qs[i] = static_cast<int8_t>(std::round(x[i] * inverse));
}

// The shared exponent makes the largest magnitude fall into [4, 8): the top value of E2M1 is 6. The exponent is exact
// here; ggml takes floor(log2f(max)), which rounds up within a float step below a power of two.
void encode(const float* x, BlockMXFP4& block) {
  const float max = std::fabs(signed_extreme(Row32(x, kSmallBlock)));
  block.e = max > 0.0f ? static_cast<uint8_t>(std::clamp(std::ilogb(max) - 2 + 127, 0, 254)) : uint8_t{0};
  const float d = e8m0_half_to_f32(block.e);
  int q[kSmallBlock];
  for (int i = 0; i < kSmallBlock; ++i) {
    float best_error = std::fabs(d * static_cast<float>(kMxfp4Values[0]) - x[i]);
    q[i] = 0;
    for (int code = 1; code < 16; ++code) {
      const float error = std::fabs(d * static_cast<float>(kMxfp4Values[code]) - x[i]);
      if (error >= best_error) continue;
      best_error = error;
      q[i] = code;
    }
  }
  put_four_bits(q, block);
}

int nearest_iq4(float v) {
  int best = 0;
  for (int i = 1; i < 16; ++i) {
    if (std::fabs(v - static_cast<float>(kIq4Values[i])) < std::fabs(v - static_cast<float>(kIq4Values[best])))
      best = i;
  }
  return best;
}

void encode(const float* x, BlockIQ4_NL& block) {
  const auto level = [](float v) { return static_cast<float>(kIq4Values[nearest_iq4(v)]); };
  block.d = f32_to_f16(search_scale(Row32(x, kSmallBlock), static_cast<float>(kIq4Values[0]), kIq4Gap, level));
  const float inverse = inverse_or_zero(f16_to_f32(block.d));
  int q[kSmallBlock];
  for (int i = 0; i < kSmallBlock; ++i) q[i] = nearest_iq4(x[i] * inverse);
  put_four_bits(q, block);
}

}  // namespace ferrum
