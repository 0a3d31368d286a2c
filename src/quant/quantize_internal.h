// The quantisers of single blocks, shared between the files that implement quantize.h.
#pragma once

#include <cmath>

#include "quant/blocks.h"

namespace ferrum {

// Each reads kElementsOf<Block> finite floats of at most 65504 in magnitude.
void encode(const float* x, BlockQ4_0& block);
void encode(const float* x, BlockQ4_1& block);
void encode(const float* x, BlockQ5_0& block);
void encode(const float* x, BlockQ5_1& block);
void encode(const float* x, BlockQ8_0& block);
void encode(const float* x, BlockMXFP4& block);
void encode(const float* x, BlockIQ4_NL& block);
void encode(const float* x, BlockIQ4_XS& block);
void encode(const float* x, BlockQ2_K& block);
void encode(const float* x, BlockQ3_K& block);
void encode(const float* x, BlockQ4_K& block);
void encode(const float* x, BlockQ5_K& block);
void encode(const float* x, BlockQ6_K& block);

// 1 / x, or 0 where that is no finite number: a group with such a scale is zero.
inline float inverse_or_zero(float x) {
  const float inverse = 1.0f / x;
  return std::isfinite(inverse) ? inverse : 0.0f;
}

// Puts value i (0 to 15) of a 32-block into its nibble; qs must start as zeros.
inline void put_nibble(uint8_t* qs, int i, int value) {
  qs[i % 16] = static_cast<uint8_t>(qs[i % 16] | (value << (i < 16 ? 0 : 4)));
}

inline constexpr float kIq4Gap = 16.0f;  // mean distance between kIq4Values

// Index of the entry of kIq4Values nearest to v; the lower one of two equally near.
int nearest_iq4(float v);

}  // namespace ferrum
