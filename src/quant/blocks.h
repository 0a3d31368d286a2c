// The block layouts of GGUF's quantised types, and the small facts every kernel needs to read them.
//
// Sources: the GGUF specification; ggml's quantisation formats (Q*_0/1, k-quants, IQ4); the OCP Microscaling formats
// specification v1.0 (MXFP4). All fields are little endian; "f16" is the bit pattern of an IEEE 754 binary16. A row of
// n elements is n / block_elements consecutive blocks. Blocks are at least 1- or 2-byte aligned inside a file (Q8_K:
// 4).
//
// Notation: w[i] is element i of the block. Nibble layout of the 32-blocks: w[i] is the low nibble of qs[i],
// w[16 + i] its high nibble.
#pragma once

#include <bit>
#include <cstdint>

#include "tensor/dtype.h"

namespace ferrum {

inline constexpr int kSmallBlock = 32;   // elements of Q4_0 ... Q8_0, IQ4_NL, MXFP4
inline constexpr int kSuperBlock = 256;  // elements of the k-quants and IQ4_XS

struct BlockQ4_0 {  // w = d * (q - 8)
  uint16_t d;       // f16
  uint8_t qs[16];
};

struct BlockQ4_1 {  // w = d * q + m
  uint16_t d, m;    // f16
  uint8_t qs[16];
};

struct BlockQ5_0 {  // w = d * (q - 16); bit 4 of q[i] is bit i of qh read as a little-endian uint32
  uint16_t d;       // f16
  uint8_t qh[4];
  uint8_t qs[16];
};

struct BlockQ5_1 {  // w = d * q + m; q as in Q5_0
  uint16_t d, m;    // f16
  uint8_t qh[4];
  uint8_t qs[16];
};

struct BlockQ8_0 {  // w = d * q
  uint16_t d;       // f16
  int8_t qs[32];
};

// 16 groups of 16. w = (d * scale) * q - (dmin * min), scale the low and min the high nibble of scales[group].
// Bits: halves of 128; element 128h + 32k + l is bits [2k, 2k+2) of qs[32h + l].
struct BlockQ2_K {
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d, dmin;  // f16
};

// 16 groups of 16. w = (d * scale) * q, scale in [-32, 31] (unpack_scales_q3_k), q in [-4, 3]: two bits as in Q2_K,
// minus 4 where bit (4h + k) of hmask[l] is clear, for element 128h + 32k + l.
struct BlockQ3_K {
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;  // f16
};

// 8 groups of 32. w = (d * scale) * q - (dmin * min), see unpack_scales_q4_k.
// Bits: pairs of groups; element 64p + l is the low, 64p + 32 + l the high nibble of qs[32p + l].
struct BlockQ4_K {
  uint16_t d, dmin;  // f16
  uint8_t scales[12];
  uint8_t qs[128];
};

// As Q4_K; bit 4 of element 32g + l is bit g of qh[l].
struct BlockQ5_K {
  uint16_t d, dmin;  // f16
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

// 16 groups of 16. w = (d * scale) * (q - 32). Halves of 128; element 128h + 32k + l: low four bits are the
// (k / 2)-th nibble of ql[64h + 32 (k % 2) + l], the upper two are bits [2k, 2k+2) of qh[32h + l].
struct BlockQ6_K {
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;  // f16
};

// w = d * q. bsums[g] is the sum of q over group g of 16. Mostly an activation format.
struct BlockQ8_K {
  float d;
  int8_t qs[256];
  int16_t bsums[16];
};

struct BlockIQ4_NL {  // w = d * kIq4Values[q]
  uint16_t d;         // f16
  uint8_t qs[16];
};

// 8 groups of 32. w = (d * scale) * kIq4Values[q], scale in [-32, 31] (scale_iq4_xs); group g has the nibble layout of
// a 32-block at qs + 16g.
struct BlockIQ4_XS {
  uint16_t d;  // f16
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};

struct BlockMXFP4 {  // w = e8m0_half_to_f32(e) * kMxfp4Values[q]
  uint8_t e;
  uint8_t qs[16];
};

// Activations in blocks of 32, made in memory and never stored: x ~ d * q, |q| <= 127. `sum` is the sum of q, for
// formats with an offset.
struct ActBlock32 {
  float d;
  int32_t sum;
  int8_t qs[32];
};

// The values of IQ4_NL and IQ4_XS, ascending.
inline constexpr int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

// Twice the values of a 4-bit float with two exponent bits and one mantissa bit (E2M1), so that they are integers.
inline constexpr int8_t kMxfp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

// Half of 2^(e - 127): undoes the doubling of kMxfp4Values. 2^-128 and 2^-127 are subnormal floats. The NaN code 255 is
// read as 2^127, as ggml does.
inline float e8m0_half_to_f32(uint8_t e) {
  const uint32_t bits = e < 2 ? uint32_t{0x00200000} << e : static_cast<uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

// The 6-bit scales and mins of Q4_K and Q5_K. Bytes 0-3 hold scales 0-3 and bytes 4-7 mins 0-3 in their low six bits;
// bytes 8-11 hold the low nibbles of scales 4-7 (low) and mins 4-7 (high), whose upper two bits are the top bits of
// bytes 0-3 and 4-7.
inline void unpack_scales_q4_k(const uint8_t packed[12], uint8_t scales[8], uint8_t mins[8]) {
  for (int i = 0; i < 4; ++i) {
    scales[i] = packed[i] & 0x3f;
    mins[i] = packed[4 + i] & 0x3f;
    scales[4 + i] = static_cast<uint8_t>((packed[8 + i] & 0x0f) | ((packed[i] >> 6) << 4));
    mins[4 + i] = static_cast<uint8_t>((packed[8 + i] >> 4) | ((packed[4 + i] >> 6) << 4));
  }
}

// The sixteen 6-bit scales of Q3_K, less their offset of 32. Low nibbles: scales 0-7 in the low and 8-15 in the high
// nibbles of bytes 0-7; upper two bits of scale 4k + j: bits [2k, 2k+2) of byte 8 + j.
inline void unpack_scales_q3_k(const uint8_t packed[12], int8_t scales[16]) {
  for (int i = 0; i < 16; ++i) {
    const int low = i < 8 ? packed[i] & 0x0f : packed[i - 8] >> 4;
    const int high = (packed[8 + i % 4] >> (2 * (i / 4))) & 3;
    scales[i] = static_cast<int8_t>((low | (high << 4)) - 32);
  }
}

inline int scale_iq4_xs(const BlockIQ4_XS& block, int group) {
  const int low = (block.scales_l[group / 2] >> (4 * (group % 2))) & 0x0f;
  const int high = (block.scales_h >> (2 * group)) & 3;
  return (low | (high << 4)) - 32;
}

// Which struct holds which type, checked against the one table of sizes.
template <typename Block>
inline constexpr DType kDTypeOf = DType::kF32;
template <>
inline constexpr DType kDTypeOf<BlockQ4_0> = DType::kQ4_0;
template <>
inline constexpr DType kDTypeOf<BlockQ4_1> = DType::kQ4_1;
template <>
inline constexpr DType kDTypeOf<BlockQ5_0> = DType::kQ5_0;
template <>
inline constexpr DType kDTypeOf<BlockQ5_1> = DType::kQ5_1;
template <>
inline constexpr DType kDTypeOf<BlockQ8_0> = DType::kQ8_0;
template <>
inline constexpr DType kDTypeOf<BlockQ2_K> = DType::kQ2_K;
template <>
inline constexpr DType kDTypeOf<BlockQ3_K> = DType::kQ3_K;
template <>
inline constexpr DType kDTypeOf<BlockQ4_K> = DType::kQ4_K;
template <>
inline constexpr DType kDTypeOf<BlockQ5_K> = DType::kQ5_K;
template <>
inline constexpr DType kDTypeOf<BlockQ6_K> = DType::kQ6_K;
template <>
inline constexpr DType kDTypeOf<BlockQ8_K> = DType::kQ8_K;
template <>
inline constexpr DType kDTypeOf<BlockIQ4_NL> = DType::kIQ4_NL;
template <>
inline constexpr DType kDTypeOf<BlockIQ4_XS> = DType::kIQ4_XS;
template <>
inline constexpr DType kDTypeOf<BlockMXFP4> = DType::kMXFP4;

// Elements of one block.
template <typename Block>
inline constexpr int kElementsOf = kDTypeTable[static_cast<size_t>(kDTypeOf<Block>)].block_elements;

template <typename... Blocks>
constexpr bool sizes_match_table() {
  return ((sizeof(Blocks) == kDTypeTable[static_cast<size_t>(kDTypeOf<Blocks>)].block_bytes) && ...);
}
static_assert(sizes_match_table<BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0, BlockQ2_K, BlockQ3_K, BlockQ4_K,
                                BlockQ5_K, BlockQ6_K, BlockQ8_K, BlockIQ4_NL, BlockIQ4_XS, BlockMXFP4>());
static_assert(std::endian::native == std::endian::little, "blocks are read in place");

}  // namespace ferrum
