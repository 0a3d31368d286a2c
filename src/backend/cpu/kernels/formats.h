// How 256 elements of each quantised format become small integers in element order and one scale per group, for the
// dot products of dot.h. The layouts are described in quant/blocks.h.
//
// A format F has: elements per block, whether its integers are signed (then w = scale * q, else w = scale * q - min),
// and how many groups of 256 elements have a scale of their own (8 or 16). Only the structs of quant/blocks.h are used
// here, not its inline functions: those must not be compiled for an instruction set that a machine may lack.
#pragma once

#include "backend/cpu/kernels/exp.h"
#include "quant/blocks.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

// 256 weights: chunk c holds elements 64c .. 64c + 63. Lane g of scale and min belongs to group g; unused lanes of both
// are zero or meet zeros.
struct Unpacked {
  Bytes q[4];
  F32 scale;
  F32 min;  // of unsigned formats
};

FERRUM_INLINE uint32_t load_u32(const void* p) {
  uint32_t x;
  std::memcpy(&x, p, sizeof x);
  return x;
}
FERRUM_INLINE F32 f16_everywhere(uint16_t h) {
  const uint16_t sixteen[16] = {h, h, h, h, h, h, h, h, h, h, h, h, h, h, h, h};
  return load_f16(sixteen);
}

// Offsets of the fields of block i inside an array of blocks.
template <typename Block>
FERRUM_INLINE const std::byte* block_at(const std::byte* p, int i) {
  return p + static_cast<size_t>(i) * sizeof(Block);
}

// The fifth bits of two 32-blocks.
template <typename Block>
FERRUM_INLINE uint64_t high_bits(const std::byte* p, int chunk) {
  const uint64_t low = load_u32(block_at<Block>(p, 2 * chunk) + offsetof(Block, qh));
  const uint64_t high = load_u32(block_at<Block>(p, 2 * chunk + 1) + offsetof(Block, qh));
  return low | high << 32;
}
template <typename Block>
FERRUM_INLINE Bytes nibbles_of(const std::byte* p, int chunk) {
  return nibbles16x2(block_at<Block>(p, 2 * chunk) + offsetof(Block, qs),
                     block_at<Block>(p, 2 * chunk + 1) + offsetof(Block, qs));
}

struct FormatQ4_0 {
  using Block = BlockQ4_0;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    for (int c = 0; c < 4; ++c) w.q[c] = minus(nibbles_of<Block>(p, c), fill(8));
    w.scale = gather8_f16<sizeof(Block)>(p);
  }
};

struct FormatQ4_1 {
  using Block = BlockQ4_1;
  static constexpr bool kSigned = false;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    for (int c = 0; c < 4; ++c) w.q[c] = nibbles_of<Block>(p, c);
    w.scale = gather8_f16<sizeof(Block)>(p);
    w.min = sub(zero(), gather8_f16<sizeof(Block)>(p + offsetof(Block, m)));
  }
};

struct FormatQ5_0 {
  using Block = BlockQ5_0;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    for (int c = 0; c < 4; ++c) {
      w.q[c] = minus(either(nibbles_of<Block>(p, c), where_bit(high_bits<Block>(p, c), 16)), fill(16));
    }
    w.scale = gather8_f16<sizeof(Block)>(p);
  }
};

struct FormatQ5_1 {
  using Block = BlockQ5_1;
  static constexpr bool kSigned = false;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    for (int c = 0; c < 4; ++c) w.q[c] = either(nibbles_of<Block>(p, c), where_bit(high_bits<Block>(p, c), 16));
    w.scale = gather8_f16<sizeof(Block)>(p);
    w.min = sub(zero(), gather8_f16<sizeof(Block)>(p + offsetof(Block, m)));
  }
};

struct FormatQ8_0 {
  using Block = BlockQ8_0;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    for (int c = 0; c < 4; ++c) {
      w.q[c] = load32x2(block_at<Block>(p, 2 * c) + offsetof(Block, qs),
                        block_at<Block>(p, 2 * c + 1) + offsetof(Block, qs));
    }
    w.scale = gather8_f16<sizeof(Block)>(p);
  }
};

struct FormatIQ4_NL {
  using Block = BlockIQ4_NL;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    for (int c = 0; c < 4; ++c) w.q[c] = lookup(kIq4Values, nibbles_of<Block>(p, c));
    w.scale = gather8_f16<sizeof(Block)>(p);
  }
};

struct FormatMXFP4 {
  using Block = BlockMXFP4;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    // Scales are half of 2^(e - 127). Flipping the top bit makes e - 128 a signed byte; the power is made of two
    // factors because the smallest are subnormal, which one cannot be.
    uint64_t exponents = 0;
    for (int i = 0; i < 8; ++i) exponents |= static_cast<uint64_t>(*block_at<Block>(p, i)) << 8 * i;
    const F32 n = bytes_to_float(exponents ^ 0x8080808080808080, 0);
    const F32 half = round_to_integer(mul(n, set1(0.5f)));
    w.scale = mul(power_of_two(half), power_of_two(sub(n, half)));
    for (int c = 0; c < 4; ++c) w.q[c] = lookup(kMxfp4Values, nibbles_of<Block>(p, c));
  }
};

// Scales and mins of Q4_K and Q5_K, eight bytes each, four at a time in one word; see unpack_scales_q4_k.
template <typename Block>
FERRUM_INLINE void scales_q4_k(const Block& b, Unpacked& w) {
  const uint32_t s = load_u32(b.scales), m = load_u32(b.scales + 4), high = load_u32(b.scales + 8);
  const uint64_t scales = (s & 0x3f3f3f3f) | uint64_t{(high & 0x0f0f0f0f) | (s >> 2 & 0x30303030)} << 32;
  const uint64_t mins = (m & 0x3f3f3f3f) | uint64_t{(high >> 4 & 0x0f0f0f0f) | (m >> 2 & 0x30303030)} << 32;
  w.scale = mul(f16_everywhere(b.d), bytes_to_float(scales, 0));
  w.min = mul(f16_everywhere(b.dmin), bytes_to_float(mins, 0));
}

struct FormatQ4_K {
  using Block = BlockQ4_K;
  static constexpr bool kSigned = false;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    const auto& b = *reinterpret_cast<const Block*>(p);
    for (int c = 0; c < 4; ++c) w.q[c] = both(shift_halves<0, 4>(load32_twice(b.qs + 32 * c)), fill(0x0f));
    scales_q4_k(b, w);
  }
};

struct FormatQ5_K {
  using Block = BlockQ5_K;
  static constexpr bool kSigned = false;
  static constexpr int kGroups = 8;
  template <int kChunk>
  FERRUM_INLINE Bytes chunk(const Block& b) {
    const Bytes low = both(shift_halves<0, 4>(load32_twice(b.qs + 32 * kChunk)), fill(0x0f));
    const Bytes bit = both(shift_halves<2 * kChunk, 2 * kChunk + 1>(load32_twice(b.qh)), fill(1));
    return either(low, shift_left<4>(bit));
  }
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    const auto& b = *reinterpret_cast<const Block*>(p);
    w.q[0] = chunk<0>(b);
    w.q[1] = chunk<1>(b);
    w.q[2] = chunk<2>(b);
    w.q[3] = chunk<3>(b);
    scales_q4_k(b, w);
  }
};

// Two bits of 64 elements in the order of Q2_K and Q3_K.
template <int kChunk>
FERRUM_INLINE Bytes two_bits(const uint8_t* qs) {
  constexpr int shift = 4 * (kChunk % 2);
  return both(shift_halves<shift, shift + 2>(load32_twice(qs + 32 * (kChunk / 2))), fill(3));
}

struct FormatQ2_K {
  using Block = BlockQ2_K;
  static constexpr bool kSigned = false;
  static constexpr int kGroups = 16;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    const auto& b = *reinterpret_cast<const Block*>(p);
    w.q[0] = two_bits<0>(b.qs);
    w.q[1] = two_bits<1>(b.qs);
    w.q[2] = two_bits<2>(b.qs);
    w.q[3] = two_bits<3>(b.qs);
    uint64_t packed[2];
    std::memcpy(packed, b.scales, sizeof packed);
    constexpr uint64_t low = 0x0f0f0f0f0f0f0f0f;
    w.scale = mul(f16_everywhere(b.d), bytes_to_float(packed[0] & low, packed[1] & low));
    w.min = mul(f16_everywhere(b.dmin), bytes_to_float(packed[0] >> 4 & low, packed[1] >> 4 & low));
  }
};

struct FormatQ3_K {
  using Block = BlockQ3_K;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 16;
  template <int kChunk>
  FERRUM_INLINE Bytes chunk(const Block& b) {
    const Bytes bit = both(shift_halves<2 * kChunk, 2 * kChunk + 1>(load32_twice(b.hmask)), fill(1));
    return minus(either(two_bits<kChunk>(b.qs), shift_left<2>(bit)), fill(4));
  }
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    const auto& b = *reinterpret_cast<const Block*>(p);
    w.q[0] = chunk<0>(b);
    w.q[1] = chunk<1>(b);
    w.q[2] = chunk<2>(b);
    w.q[3] = chunk<3>(b);
    // As unpack_scales_q3_k, four scales in one word.
    const uint32_t a = load_u32(b.scales), c = load_u32(b.scales + 4), high = load_u32(b.scales + 8);
    constexpr uint32_t nibble = 0x0f0f0f0f, pair = 0x30303030;
    const uint64_t low = ((a & nibble) | (high << 4 & pair)) | uint64_t{(c & nibble) | (high << 2 & pair)} << 32;
    const uint64_t up = ((a >> 4 & nibble) | (high & pair)) | uint64_t{(c >> 4 & nibble) | (high >> 2 & pair)} << 32;
    w.scale = mul(f16_everywhere(b.d), sub(bytes_to_float(low, up), set1(32.0f)));
  }
};

struct FormatQ6_K {
  using Block = BlockQ6_K;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 16;
  template <int kChunk>
  FERRUM_INLINE Bytes chunk(const Block& b) {
    constexpr int half = kChunk / 2, odd = kChunk % 2;
    const Bytes low = both(shift_halves<4 * odd, 4 * odd>(load64(b.ql + 64 * half)), fill(0x0f));
    const Bytes high = both(shift_halves<4 * odd, 4 * odd + 2>(load32_twice(b.qh + 32 * half)), fill(3));
    return minus(either(low, shift_left<4>(high)), fill(32));
  }
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    const auto& b = *reinterpret_cast<const Block*>(p);
    w.q[0] = chunk<0>(b);
    w.q[1] = chunk<1>(b);
    w.q[2] = chunk<2>(b);
    w.q[3] = chunk<3>(b);
    uint64_t scales[2];
    std::memcpy(scales, b.scales, sizeof scales);
    w.scale = mul(f16_everywhere(b.d), bytes_to_float(scales[0], scales[1]));
  }
};

struct FormatQ8_K {
  using Block = BlockQ8_K;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    const auto& b = *reinterpret_cast<const Block*>(p);
    for (int c = 0; c < 4; ++c) w.q[c] = load64(b.qs + 64 * c);
    w.scale = set1(b.d);
  }
};

struct FormatIQ4_XS {
  using Block = BlockIQ4_XS;
  static constexpr bool kSigned = true;
  static constexpr int kGroups = 8;
  FERRUM_INLINE void unpack(const std::byte* p, Unpacked& w) {
    const auto& b = *reinterpret_cast<const Block*>(p);
    for (int c = 0; c < 4; ++c) {
      w.q[c] = lookup(kIq4Values, nibbles16x2(b.qs + 32 * c, b.qs + 32 * c + 16));
    }
    // Eight nibbles and eight pairs of bits, each spread to a byte of its own.
    uint64_t low = load_u32(b.scales_l), high = b.scales_h;
    low = (low | low << 16) & 0x0000ffff0000ffff;
    low = (low | low << 8) & 0x00ff00ff00ff00ff;
    low = (low | low << 4) & 0x0f0f0f0f0f0f0f0f;
    high = (high | high << 24) & 0x000000ff000000ff;
    high = (high | high << 12) & 0x000f000f000f000f;
    high = (high | high << 6) & 0x0303030303030303;
    w.scale = mul(f16_everywhere(b.d), sub(bytes_to_float(low | high << 4, 0), set1(32.0f)));
  }
};

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
