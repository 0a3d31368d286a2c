// Super-blocks of 256: the k-quants and IQ4_XS.
//
// Two rounds. First each group gets the scale (and offset) that rounds it best (scale_search.h). Then the groups'
// scales are themselves rounded to the few bits they have, against one half-precision scale per super-block, and the
// elements are rounded to nearest with the scales as stored.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <span>

#include "quant/quantize_internal.h"
#include "quant/scale_search.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

template <size_t N>
std::span<const float, N> group_of(const float* x, int group) {
  return std::span<const float, N>(x + static_cast<size_t>(group) * N, N);
}

int round_to(float value, int low, int high) {
  return static_cast<int>(std::clamp(std::nearbyint(value), static_cast<float>(low), static_cast<float>(high)));
}

// Non-negative scales or mins in `count` small integers up to `top`; returns the shared half-precision scale.
uint16_t share_scale(const float* values, int count, int top, uint8_t* out) {
  const float max = *std::max_element(values, values + count);
  const uint16_t d = f32_to_f16(max / static_cast<float>(top));
  const float inverse = inverse_or_zero(f16_to_f32(d));
  for (int i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(round_to(values[i] * inverse, 0, top));
  return d;
}

// The same for signed scales in [-half, half - 1]; the one of largest magnitude becomes -half.
uint16_t share_signed_scale(const float* values, int count, int half, int8_t* out) {
  const float extreme = signed_extreme(std::span<const float>(values, static_cast<size_t>(count)));
  const uint16_t d = f32_to_f16(extreme / static_cast<float>(-half));
  const float inverse = inverse_or_zero(f16_to_f32(d));
  for (int i = 0; i < count; ++i) out[i] = static_cast<int8_t>(round_to(values[i] * inverse, -half, half - 1));
  return d;
}

// What the affine k-quants share: groups of N with scale and min.
template <size_t N>
struct AffineBlock {
  static constexpr int kGroups = kSuperBlock / static_cast<int>(N);
  uint16_t d = 0, dmin = 0;
  uint8_t scales[kGroups], mins[kGroups];
  uint8_t q[kSuperBlock];  // 0 to levels

  AffineBlock(const float* x, int levels, int scale_top) {
    float group_scales[kGroups], group_mins[kGroups];
    for (int g = 0; g < kGroups; ++g) {
      const ScaleMin fit = search_affine(group_of<N>(x, g), levels);
      group_scales[g] = fit.scale;
      group_mins[g] = fit.min;
    }
    d = share_scale(group_scales, kGroups, scale_top, scales);
    dmin = share_scale(group_mins, kGroups, scale_top, mins);
    for (int i = 0; i < kSuperBlock; ++i) {
      const int g = i / static_cast<int>(N);
      const float inverse = inverse_or_zero(f16_to_f32(d) * static_cast<float>(scales[g]));
      const float min = f16_to_f32(dmin) * static_cast<float>(mins[g]);
      q[i] = static_cast<uint8_t>(round_to((x[i] + min) * inverse, 0, levels));
    }
  }
};

// What Q3_K and Q6_K share: 16 groups of 16, levels [-half, half - 1], stored as q + half.
struct SymmetricBlock {
  uint16_t d = 0;
  int8_t scales[16];
  uint8_t q[kSuperBlock];

  SymmetricBlock(const float* x, int half, int scale_half) {
    const auto level = [half](float v) { return static_cast<float>(round_to(v, -half, half - 1)); };
    float group_scales[16];
    for (int g = 0; g < 16; ++g)
      group_scales[g] = search_scale(group_of<16>(x, g), static_cast<float>(-half), 1.0f, level);
    d = share_signed_scale(group_scales, 16, scale_half, scales);
    for (int i = 0; i < kSuperBlock; ++i) {
      const float inverse = inverse_or_zero(f16_to_f32(d) * static_cast<float>(scales[i / 16]));
      q[i] = static_cast<uint8_t>(round_to(x[i] * inverse, -half, half - 1) + half);
    }
  }
};

// The inverse of unpack_scales_q4_k.
void pack_scales_q4_k(const uint8_t scales[8], const uint8_t mins[8], uint8_t packed[12]) {
  for (int i = 0; i < 4; ++i) {
    packed[i] = static_cast<uint8_t>(scales[i] | ((scales[4 + i] >> 4) << 6));
    packed[4 + i] = static_cast<uint8_t>(mins[i] | ((mins[4 + i] >> 4) << 6));
    packed[8 + i] = static_cast<uint8_t>((scales[4 + i] & 0x0f) | ((mins[4 + i] & 0x0f) << 4));
  }
}

// The inverse of unpack_scales_q3_k.
void pack_scales_q3_k(const int8_t scales[16], uint8_t packed[12]) {
  std::memset(packed, 0, 12);
  for (int i = 0; i < 16; ++i) {
    const int value = scales[i] + 32;
    packed[i % 8] = static_cast<uint8_t>(packed[i % 8] | ((value & 0x0f) << (i < 8 ? 0 : 4)));
    packed[8 + i % 4] = static_cast<uint8_t>(packed[8 + i % 4] | ((value >> 4) << (2 * (i / 4))));
  }
}

// ORs `bits` into the byte.
void put_bits(uint8_t& byte, int bits) { byte = static_cast<uint8_t>(byte | bits); }

}  // namespace

void encode(const float* x, BlockQ2_K& block) {
  const AffineBlock<16> a(x, 3, 15);
  block = {};
  block.d = a.d;
  block.dmin = a.dmin;
  for (int g = 0; g < 16; ++g) block.scales[g] = static_cast<uint8_t>(a.scales[g] | (a.mins[g] << 4));
  for (int i = 0; i < kSuperBlock; ++i) put_bits(block.qs[32 * (i / 128) + i % 32], a.q[i] << (2 * (i % 128 / 32)));
}

void encode(const float* x, BlockQ3_K& block) {
  const SymmetricBlock s(x, 4, 32);
  block = {};
  block.d = s.d;
  pack_scales_q3_k(s.scales, block.scales);
  for (int i = 0; i < kSuperBlock; ++i) {
    put_bits(block.qs[32 * (i / 128) + i % 32], (s.q[i] & 3) << (2 * (i % 128 / 32)));
    put_bits(block.hmask[i % 32], (s.q[i] >> 2) << (i / 32));
  }
}

void encode(const float* x, BlockQ4_K& block) {
  const AffineBlock<32> a(x, 15, 63);
  block = {};
  block.d = a.d;
  block.dmin = a.dmin;
  pack_scales_q4_k(a.scales, a.mins, block.scales);
  for (int i = 0; i < kSuperBlock; ++i) put_bits(block.qs[32 * (i / 64) + i % 32], a.q[i] << (4 * (i / 32 % 2)));
}

void encode(const float* x, BlockQ5_K& block) {
  const AffineBlock<32> a(x, 31, 63);
  block = {};
  block.d = a.d;
  block.dmin = a.dmin;
  pack_scales_q4_k(a.scales, a.mins, block.scales);
  for (int i = 0; i < kSuperBlock; ++i) {
    put_bits(block.qs[32 * (i / 64) + i % 32], (a.q[i] & 0x0f) << (4 * (i / 32 % 2)));
    put_bits(block.qh[i % 32], (a.q[i] >> 4) << (i / 32));
  }
}

void encode(const float* x, BlockQ6_K& block) {
  const SymmetricBlock s(x, 32, 128);
  block = {};
  block.d = s.d;
  std::copy(std::begin(s.scales), std::end(s.scales), block.scales);
  for (int i = 0; i < kSuperBlock; ++i) {
    const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
    put_bits(block.ql[64 * half + 32 * (quarter % 2) + l], (s.q[i] & 0x0f) << (4 * (quarter / 2)));
    put_bits(block.qh[32 * half + l], (s.q[i] >> 4) << (2 * quarter));
  }
}

void encode(const float* x, BlockIQ4_XS& block) {
  const auto level = [](float v) { return static_cast<float>(kIq4Values[nearest_iq4(v)]); };
  float group_scales[8];
  for (int g = 0; g < 8; ++g) {
    group_scales[g] = search_scale(group_of<32>(x, g), static_cast<float>(kIq4Values[0]), kIq4Gap, level);
  }
  int8_t scales[8];
  block = {};
  block.d = share_signed_scale(group_scales, 8, 32, scales);
  for (int g = 0; g < 8; ++g) {
    const int value = scales[g] + 32;
    put_bits(block.scales_l[g / 2], (value & 0x0f) << (4 * (g % 2)));
    block.scales_h = static_cast<uint16_t>(block.scales_h | ((value >> 4) << (2 * g)));
    const float inverse = inverse_or_zero(f16_to_f32(block.d) * static_cast<float>(scales[g]));
    for (int j = 0; j < 32; ++j) put_nibble(block.qs + 16 * g, j, nearest_iq4(x[32 * g + j] * inverse));
  }
}

}  // namespace ferrum
