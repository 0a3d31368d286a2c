// How a packed block of each quantised format (cpu/panels.h) becomes integers in the lanes of their rows and scales.
// The formats themselves are described in quant/blocks.h.
//
// A format F has: 32s of columns per block; the width of a group of columns with a scale of its own (32 or 16); whether
// its values have an offset (then w = scale * q + offset and q is below 128, else w = scale * (q - kBias), q any byte
// modulo 256); the largest q, 255 where it is any byte.
//   quads<I>(block, q)     32 columns, number I: lane r of q[j] is columns 4j .. 4j + 3 of row r
//   scales(block, s)       scale (and offset) of group g of row r to s.scale[g][r]
// Like formats.h, this calls no inline function of other headers.
#pragma once

#include "backend/cpu/kernels/exp.h"
#include "quant/blocks.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kQuads = 8;  // of 32 columns

// Where a block's go, by groups; offset only where the format has them.
struct BlockScales {
  float (*scale)[kPanelRows];
  float (*offset)[kPanelRows];
};

// Where a field of the packed block begins.
#define FERRUM_PACKED(block, field) ((block) + kPanelRows * offsetof(Block, field))

template <int kShift>
FERRUM_INLINE Bytes bits_from(Bytes v, uint8_t mask) {
  return both(shift_right<kShift>(v), fill(mask));
}
// Bits kFrom .. of `v` moved to kTo .., under `mask`.
template <int kFrom, int kTo>
FERRUM_INLINE Bytes bits_moved(Bytes v, uint8_t mask) {
  if constexpr (kFrom > kTo)
    return both(shift_right<kFrom - kTo>(v), fill(mask));
  else
    return both(shift_left<kTo - kFrom>(v), fill(mask));
}

// The layout of blocks of 32: low nibbles are the first half of the columns.
FERRUM_INLINE void nibble_halves(const std::byte* p, Bytes* q) {
  for (int j = 0; j < kQuads / 2; ++j) {
    const Bytes v = load64(p + 64 * j);
    q[j] = bits_from<0>(v, 0x0f);
    q[j + kQuads / 2] = bits_from<4>(v, 0x0f);
  }
}
FERRUM_INLINE void nibble_halves(const std::byte* p, const int8_t* table, Bytes* q) {
  nibble_halves(p, q);
  for (int j = 0; j < kQuads; ++j) q[j] = lookup(table, q[j]);
}
// The fifth bit of quad j is bit j of its byte.
FERRUM_INLINE void add_planes(const std::byte* p, Bytes* q) {
  const Bytes v = load64(p);
  q[0] = either(q[0], bits_moved<0, 4>(v, 0x10));
  q[1] = either(q[1], bits_moved<1, 4>(v, 0x10));
  q[2] = either(q[2], bits_moved<2, 4>(v, 0x10));
  q[3] = either(q[3], bits_moved<3, 4>(v, 0x10));
  q[4] = either(q[4], bits_moved<4, 4>(v, 0x10));
  q[5] = either(q[5], bits_moved<5, 4>(v, 0x10));
  q[6] = either(q[6], bits_moved<6, 4>(v, 0x10));
  q[7] = either(q[7], bits_moved<7, 4>(v, 0x10));
}

template <typename Stored, int kColumns, int kScales, bool kWithOffset, int kTheBias, int kTheLargest>
struct PanelFormat {
  using Block = Stored;
  static constexpr int kThirtyTwos = kColumns / 32;
  static constexpr int kWidth = kColumns / kScales;
  static constexpr bool kOffset = kWithOffset;
  static constexpr int kBias = kTheBias;
  static constexpr int kLargest = kTheLargest;
  static constexpr bool kShortScale = true;  // a F16 number, or the product of one with a byte
};

struct PanelQ4_0 : PanelFormat<BlockQ4_0, 32, 1, false, 8, 15> {
  template <int>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    nibble_halves(FERRUM_PACKED(b, qs), q);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) { store(s.scale[0], load_f16(b)); }
};

struct PanelQ4_1 : PanelFormat<BlockQ4_1, 32, 1, true, 0, 15> {
  template <int>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    nibble_halves(FERRUM_PACKED(b, qs), q);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    store(s.scale[0], load_f16(b));
    store(s.offset[0], load_f16(FERRUM_PACKED(b, m)));
  }
};

struct PanelQ5_0 : PanelFormat<BlockQ5_0, 32, 1, false, 16, 31> {
  template <int>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    nibble_halves(FERRUM_PACKED(b, qs), q);
    add_planes(FERRUM_PACKED(b, qh), q);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) { store(s.scale[0], load_f16(b)); }
};

struct PanelQ5_1 : PanelFormat<BlockQ5_1, 32, 1, true, 0, 31> {
  template <int>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    nibble_halves(FERRUM_PACKED(b, qs), q);
    add_planes(FERRUM_PACKED(b, qh), q);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    store(s.scale[0], load_f16(b));
    store(s.offset[0], load_f16(FERRUM_PACKED(b, m)));
  }
};

struct PanelQ8_0 : PanelFormat<BlockQ8_0, 32, 1, false, 0, 255> {
  template <int>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    for (int j = 0; j < kQuads; ++j) q[j] = load64(FERRUM_PACKED(b, qs) + 64 * j);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) { store(s.scale[0], load_f16(b)); }
};

struct PanelIQ4_NL : PanelFormat<BlockIQ4_NL, 32, 1, false, 0, 255> {
  template <int>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    nibble_halves(FERRUM_PACKED(b, qs), kIq4Values, q);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) { store(s.scale[0], load_f16(b)); }
};

struct PanelMXFP4 : PanelFormat<BlockMXFP4, 32, 1, false, 0, 255> {
  static constexpr bool kShortScale = false;  // as large as 2^126
  template <int>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    nibble_halves(FERRUM_PACKED(b, qs), kMxfp4Values, q);
  }
  // As in formats.h: half of 2^(e - 127), in two factors because the smallest are subnormal.
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    int8_t exponents[kPanelRows];
    for (int r = 0; r < kPanelRows; ++r) exponents[r] = static_cast<int8_t>(static_cast<uint8_t>(b[r]) ^ 0x80u);
    const F32 n = load_i8(exponents);
    const F32 half = round_to_integer(mul(n, set1(0.5f)));
    store(s.scale[0], mul(power_of_two(half), power_of_two(sub(n, half))));
  }
};

// out[i] = d * bytes[i], for `count` groups; bytes are signed.
FERRUM_INLINE void scale_rows(F32 d, const int8_t (*bytes)[kPanelRows], int count, float (*out)[kPanelRows]) {
  for (int i = 0; i < count; ++i) store(out[i], mul(d, load_i8(bytes[i])));
}

// The 6-bit scales and mins of Q4_K and Q5_K, four groups of 16 rows in a vector; see unpack_scales_q4_k.
template <typename Block>
FERRUM_INLINE void panel_scales_q4_k(const std::byte* b, BlockScales s) {
  const Bytes scale = load64(FERRUM_PACKED(b, scales)), min = load64(FERRUM_PACKED(b, scales) + 64),
              high = load64(FERRUM_PACKED(b, scales) + 128);
  alignas(64) int8_t scales[8][kPanelRows], mins[8][kPanelRows];
  store64(scales[0], both(scale, fill(0x3f)));
  store64(scales[4], either(both(high, fill(0x0f)), bits_from<2>(scale, 0x30)));
  store64(mins[0], both(min, fill(0x3f)));
  store64(mins[4], either(bits_from<4>(high, 0x0f), bits_from<2>(min, 0x30)));
  scale_rows(load_f16(FERRUM_PACKED(b, d)), scales, 8, s.scale);
  scale_rows(sub(zero(), load_f16(FERRUM_PACKED(b, dmin))), mins, 8, s.offset);
}

struct PanelQ4_K : PanelFormat<BlockQ4_K, 256, 8, true, 0, 15> {
  template <int kAt>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    const std::byte* p = FERRUM_PACKED(b, qs) + 64 * kQuads * (kAt / 2);
    for (int j = 0; j < kQuads; ++j) q[j] = bits_from<4 * (kAt % 2)>(load64(p + 64 * j), 0x0f);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) { panel_scales_q4_k<Block>(b, s); }
};

struct PanelQ5_K : PanelFormat<BlockQ5_K, 256, 8, true, 0, 31> {
  template <int kAt>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    const std::byte* low = FERRUM_PACKED(b, qs) + 64 * kQuads * (kAt / 2);
    const std::byte* high = FERRUM_PACKED(b, qh);
    for (int j = 0; j < kQuads; ++j) {
      q[j] =
          either(bits_from<4 * (kAt % 2)>(load64(low + 64 * j), 0x0f), bits_moved<kAt, 4>(load64(high + 64 * j), 0x10));
    }
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) { panel_scales_q4_k<Block>(b, s); }
};

struct PanelQ2_K : PanelFormat<BlockQ2_K, 256, 16, true, 0, 3> {
  template <int kAt>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    const std::byte* p = FERRUM_PACKED(b, qs) + 64 * kQuads * (kAt / 4);
    for (int j = 0; j < kQuads; ++j) q[j] = bits_from<2 * (kAt % 4)>(load64(p + 64 * j), 0x03);
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    alignas(64) int8_t scales[16][kPanelRows], mins[16][kPanelRows];
    for (int i = 0; i < 16; i += 4) {
      const Bytes v = load64(FERRUM_PACKED(b, scales) + 16 * i);
      store64(scales[i], both(v, fill(0x0f)));
      store64(mins[i], bits_from<4>(v, 0x0f));
    }
    scale_rows(load_f16(FERRUM_PACKED(b, d)), scales, 16, s.scale);
    scale_rows(sub(zero(), load_f16(FERRUM_PACKED(b, dmin))), mins, 16, s.offset);
  }
};

struct PanelQ3_K : PanelFormat<BlockQ3_K, 256, 16, false, 4, 7> {
  template <int kAt>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    const std::byte* low = FERRUM_PACKED(b, qs) + 64 * kQuads * (kAt / 4);
    const std::byte* high = FERRUM_PACKED(b, hmask);
    for (int j = 0; j < kQuads; ++j) {
      q[j] =
          either(bits_from<2 * (kAt % 4)>(load64(low + 64 * j), 0x03), bits_moved<kAt, 2>(load64(high + 64 * j), 0x04));
    }
  }
  // As unpack_scales_q3_k: byte i of `scales` holds low nibbles of scales i and 8 + i; the upper two bits of scale
  // 4k + j are bits [2k, 2k + 2) of byte 8 + j.
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    const std::byte* packed = FERRUM_PACKED(b, scales);
    const Bytes first = load64(packed), second = load64(packed + 64), high = load64(packed + 128);
    alignas(64) int8_t scales[16][kPanelRows];
    store64(scales[0], minus(either(bits_from<0>(first, 0x0f), bits_moved<0, 4>(high, 0x30)), fill(32)));
    store64(scales[4], minus(either(bits_from<0>(second, 0x0f), bits_moved<2, 4>(high, 0x30)), fill(32)));
    store64(scales[8], minus(either(bits_from<4>(first, 0x0f), bits_moved<4, 4>(high, 0x30)), fill(32)));
    store64(scales[12], minus(either(bits_from<4>(second, 0x0f), bits_moved<6, 4>(high, 0x30)), fill(32)));
    scale_rows(load_f16(FERRUM_PACKED(b, d)), scales, 16, s.scale);
  }
};

struct PanelQ6_K : PanelFormat<BlockQ6_K, 256, 16, false, 32, 63> {
  template <int kAt>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    constexpr int half = kAt / 4, k = kAt % 4;
    const std::byte* low = FERRUM_PACKED(b, ql) + 64 * kQuads * (2 * half + k % 2);
    const std::byte* high = FERRUM_PACKED(b, qh) + 64 * kQuads * half;
    for (int j = 0; j < kQuads; ++j) {
      q[j] =
          either(bits_from<4 * (k / 2)>(load64(low + 64 * j), 0x0f), bits_moved<2 * k, 4>(load64(high + 64 * j), 0x30));
    }
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    const F32 d = load_f16(FERRUM_PACKED(b, d));
    for (int i = 0; i < 16; ++i) store(s.scale[i], mul(d, load_i8(FERRUM_PACKED(b, scales) + kPanelRows * i)));
  }
};

struct PanelQ8_K : PanelFormat<BlockQ8_K, 256, 8, false, 0, 255> {
  static constexpr bool kShortScale = false;  // any float
  template <int kAt>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    for (int j = 0; j < kQuads; ++j) q[j] = load64(FERRUM_PACKED(b, qs) + 64 * (kQuads * kAt + j));
  }
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    for (int i = 0; i < 8; ++i) std::memcpy(s.scale[i], b, sizeof s.scale[i]);
  }
};

struct PanelIQ4_XS : PanelFormat<BlockIQ4_XS, 256, 8, false, 0, 255> {
  template <int kAt>
  FERRUM_INLINE void quads(const std::byte* b, Bytes* q) {
    nibble_halves(FERRUM_PACKED(b, qs) + 64 * (kQuads / 2) * kAt, kIq4Values, q);
  }
  // Group g: four bits in nibble g % 2 of byte g / 2, two in bits [2g, 2g + 2) of the two bytes of scales_h.
  FERRUM_INLINE void scales(const std::byte* b, BlockScales s) {
    const auto* high = reinterpret_cast<const uint8_t*>(FERRUM_PACKED(b, scales_h));
    const auto* low = reinterpret_cast<const uint8_t*>(FERRUM_PACKED(b, scales_l));
    int8_t scales[8][kPanelRows];
    for (int g = 0; g < 8; ++g) {
      for (int r = 0; r < kPanelRows; ++r) {
        const int nibble = low[kPanelRows * (g / 2) + r] >> (4 * (g % 2)) & 0x0f;
        const int pair = high[kPanelRows * (g / 4) + r] >> (2 * (g % 4)) & 3;
        scales[g][r] = static_cast<int8_t>((nibble | pair << 4) - 32);
      }
    }
    scale_rows(load_f16(FERRUM_PACKED(b, d)), scales, 8, s.scale);
  }
};

#undef FERRUM_PACKED

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
