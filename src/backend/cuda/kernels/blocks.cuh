// Element i of a block of each stored type, as quant/dequantize.cc defines it: the same operations, hence the same
// bits.
#pragma once

#include "backend/cuda/kernels/simt.h"
#include "quant/blocks.h"

namespace ferrum::cuda::FERRUM_CUDA_TARGET {

// Byte q of a table of 16 signed bytes, whose first eight are in `low`.
FERRUM_DEVICE int entry_of(uint64_t low, uint64_t high, int q) {
  return static_cast<int8_t>((q < 8 ? low : high) >> (8 * (q & 7)) & 0xff);
}
FERRUM_DEVICE int iq4_value(int q) { return entry_of(0xf6eaddcfbfad9881u, 0x7159453526190d01u, q); }
FERRUM_DEVICE int mxfp4_value(int q) { return entry_of(0x0c08060403020100u, 0xf4f8fafcfdfeff00u, q); }

FERRUM_DEVICE int nibble_of(const uint8_t* qs, int i) { return i < 16 ? qs[i] & 0x0f : qs[i - 16] >> 4; }
FERRUM_DEVICE int bit_of(const uint8_t* bytes, int i) { return bytes[i / 8] >> (i % 8) & 1; }

FERRUM_DEVICE float element(const BlockQ4_0& b, int i) {
  return f16_to_float(b.d) * static_cast<float>(nibble_of(b.qs, i) - 8);
}
FERRUM_DEVICE float element(const BlockQ4_1& b, int i) {
  return f16_to_float(b.d) * static_cast<float>(nibble_of(b.qs, i)) + f16_to_float(b.m);
}
FERRUM_DEVICE float element(const BlockQ5_0& b, int i) {
  return f16_to_float(b.d) * static_cast<float>((nibble_of(b.qs, i) | bit_of(b.qh, i) << 4) - 16);
}
FERRUM_DEVICE float element(const BlockQ5_1& b, int i) {
  return f16_to_float(b.d) * static_cast<float>(nibble_of(b.qs, i) | bit_of(b.qh, i) << 4) + f16_to_float(b.m);
}
FERRUM_DEVICE float element(const BlockQ8_0& b, int i) { return f16_to_float(b.d) * static_cast<float>(b.qs[i]); }
FERRUM_DEVICE float element(const BlockQ8_K& b, int i) { return b.d * static_cast<float>(b.qs[i]); }

// Two bits of element i where halves of 128 keep four elements in each byte.
FERRUM_DEVICE int two_bits(const uint8_t* qs, int i) { return qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3; }

FERRUM_DEVICE float element(const BlockQ2_K& b, int i) {
  const float scale = f16_to_float(b.d) * static_cast<float>(b.scales[i / 16] & 0x0f);
  const float min = f16_to_float(b.dmin) * static_cast<float>(b.scales[i / 16] >> 4);
  return scale * static_cast<float>(two_bits(b.qs, i)) - min;
}

FERRUM_DEVICE int scale_q3_k(const uint8_t* packed, int group) {
  const int low = group < 8 ? packed[group] & 0x0f : packed[group - 8] >> 4;
  const int high = packed[8 + group % 4] >> (2 * (group / 4)) & 3;
  return (low | high << 4) - 32;
}
FERRUM_DEVICE float element(const BlockQ3_K& b, int i) {
  const float scale = f16_to_float(b.d) * static_cast<float>(scale_q3_k(b.scales, i / 16));
  return scale * static_cast<float>(two_bits(b.qs, i) + 4 * (b.hmask[i % 32] >> (i / 32) & 1) - 4);
}

// The 6-bit scale (and, with packed + 4, not the scale but the min) of a group of Q4_K and Q5_K.
FERRUM_DEVICE int scale_q4_k(const uint8_t* packed, int group) {
  if (group < 4) return packed[group] & 0x3f;
  return (packed[4 + group] & 0x0f) | packed[group - 4] >> 6 << 4;
}
FERRUM_DEVICE int min_q4_k(const uint8_t* packed, int group) {
  if (group < 4) return packed[4 + group] & 0x3f;
  return packed[4 + group] >> 4 | packed[group] >> 6 << 4;
}
FERRUM_DEVICE int nibble_q4_k(const uint8_t* qs, int i) {
  return qs[32 * (i / 64) + i % 32] >> (4 * (i / 32 % 2)) & 0x0f;
}

FERRUM_DEVICE float element(const BlockQ4_K& b, int i) {
  const float scale = f16_to_float(b.d) * static_cast<float>(scale_q4_k(b.scales, i / 32));
  const float min = f16_to_float(b.dmin) * static_cast<float>(min_q4_k(b.scales, i / 32));
  return scale * static_cast<float>(nibble_q4_k(b.qs, i)) - min;
}
FERRUM_DEVICE float element(const BlockQ5_K& b, int i) {
  const float scale = f16_to_float(b.d) * static_cast<float>(scale_q4_k(b.scales, i / 32));
  const float min = f16_to_float(b.dmin) * static_cast<float>(min_q4_k(b.scales, i / 32));
  const int q = nibble_q4_k(b.qs, i) | (b.qh[i % 32] >> (i / 32) & 1) << 4;
  return scale * static_cast<float>(q) - min;
}
FERRUM_DEVICE float element(const BlockQ6_K& b, int i) {
  const int half = i / 128, k = i % 128 / 32, l = i % 32;
  const int low = b.ql[64 * half + 32 * (k % 2) + l] >> (4 * (k / 2)) & 0x0f;
  const int high = b.qh[32 * half + l] >> (2 * k) & 3;
  return f16_to_float(b.d) * static_cast<float>(b.scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
}

FERRUM_DEVICE float element(const BlockIQ4_NL& b, int i) {
  return f16_to_float(b.d) * static_cast<float>(iq4_value(nibble_of(b.qs, i)));
}
FERRUM_DEVICE float element(const BlockIQ4_XS& b, int i) {
  const int group = i / 32;
  const int low = b.scales_l[group / 2] >> (4 * (group % 2)) & 0x0f, high = b.scales_h >> (2 * group) & 3;
  const float scale = f16_to_float(b.d) * static_cast<float>((low | high << 4) - 32);
  return scale * static_cast<float>(iq4_value(nibble_of(b.qs + 16 * group, i % 32)));
}
FERRUM_DEVICE float element(const BlockMXFP4& b, int i) {
  const uint32_t bits = b.e < 2 ? 0x00200000u << b.e : static_cast<uint32_t>(b.e - 1) << 23;
  return float_of(bits) * static_cast<float>(mxfp4_value(nibble_of(b.qs, i)));
}

// Element i of a row of blocks.
template <typename Block>
FERRUM_DEVICE float element_of_row(const void* row, int64_t i) {
  constexpr int kElements = kElementsOf<Block>;
  return element(static_cast<const Block*>(row)[i / kElements], static_cast<int>(i % kElements));
}

FERRUM_DEVICE float stored_element(DType dtype, const void* row, int64_t i) {
  switch (dtype) {
    case DType::kF32: return static_cast<const float*>(row)[i];
    case DType::kF16: return f16_to_float(static_cast<const uint16_t*>(row)[i]);
    case DType::kBF16: return bf16_to_float(static_cast<const uint16_t*>(row)[i]);
    case DType::kF64: return static_cast<float>(static_cast<const double*>(row)[i]);
    case DType::kI8: return static_cast<float>(static_cast<const int8_t*>(row)[i]);
    case DType::kI16: return static_cast<float>(static_cast<const int16_t*>(row)[i]);
    case DType::kI32: return static_cast<float>(static_cast<const int32_t*>(row)[i]);
    case DType::kI64: return static_cast<float>(static_cast<const int64_t*>(row)[i]);
    case DType::kQ4_0: return element_of_row<BlockQ4_0>(row, i);
    case DType::kQ4_1: return element_of_row<BlockQ4_1>(row, i);
    case DType::kQ5_0: return element_of_row<BlockQ5_0>(row, i);
    case DType::kQ5_1: return element_of_row<BlockQ5_1>(row, i);
    case DType::kQ8_0: return element_of_row<BlockQ8_0>(row, i);
    case DType::kQ2_K: return element_of_row<BlockQ2_K>(row, i);
    case DType::kQ3_K: return element_of_row<BlockQ3_K>(row, i);
    case DType::kQ4_K: return element_of_row<BlockQ4_K>(row, i);
    case DType::kQ5_K: return element_of_row<BlockQ5_K>(row, i);
    case DType::kQ6_K: return element_of_row<BlockQ6_K>(row, i);
    case DType::kQ8_K: return element_of_row<BlockQ8_K>(row, i);
    case DType::kIQ4_NL: return element_of_row<BlockIQ4_NL>(row, i);
    case DType::kIQ4_XS: return element_of_row<BlockIQ4_XS>(row, i);
    case DType::kMXFP4: return element_of_row<BlockMXFP4>(row, i);
  }
  return 0.0f;
}

}  // namespace ferrum::cuda::FERRUM_CUDA_TARGET
