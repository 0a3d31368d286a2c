// The definition of each format: blocks to floats. The order of the float operations is the format's (scale times
// sub-scale first), so that results are the same bit for bit everywhere.
#include "base/check.h"
#include "quant/quantize.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

// Bit `index` of a little-endian bit string.
int bit(const uint8_t* bytes, int index) { return (bytes[index / 8] >> (index % 8)) & 1; }

// Element i of the nibble layout of 32-blocks.
int nibble(const uint8_t* qs, int i) { return i < 16 ? qs[i] & 0x0f : qs[i - 16] >> 4; }

void decode(const BlockQ4_0& b, float* w) {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 32; ++i) w[i] = d * static_cast<float>(nibble(b.qs, i) - 8);
}

void decode(const BlockQ4_1& b, float* w) {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  for (int i = 0; i < 32; ++i) w[i] = d * static_cast<float>(nibble(b.qs, i)) + m;
}

void decode(const BlockQ5_0& b, float* w) {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 32; ++i) w[i] = d * static_cast<float>((nibble(b.qs, i) | (bit(b.qh, i) << 4)) - 16);
}

void decode(const BlockQ5_1& b, float* w) {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  for (int i = 0; i < 32; ++i) w[i] = d * static_cast<float>(nibble(b.qs, i) | (bit(b.qh, i) << 4)) + m;
}

void decode(const BlockQ8_0& b, float* w) {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 32; ++i) w[i] = d * static_cast<float>(b.qs[i]);
}

void decode(const BlockQ2_K& b, float* w) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(b.scales[group] & 0x0f);
    const float min = dmin * static_cast<float>(b.scales[group] >> 4);
    for (int j = 0; j < 16; ++j) {
      const int i = 16 * group + j;
      const int q = (b.qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3;
      w[i] = scale * static_cast<float>(q) - min;
    }
  }
}

void decode(const BlockQ3_K& b, float* w) {
  const float d = f16_to_f32(b.d);
  int8_t scales[16];
  unpack_scales_q3_k(b.scales, scales);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(scales[group]);
    for (int j = 0; j < 16; ++j) {
      const int i = 16 * group + j;
      const int low = (b.qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32))) & 3;
      const int high = (b.hmask[i % 32] >> (i / 32)) & 1;
      w[i] = scale * static_cast<float>(low + 4 * high - 4);
    }
  }
}

void decode(const BlockQ4_K& b, float* w) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  uint8_t scales[8], mins[8];
  unpack_scales_q4_k(b.scales, scales, mins);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(scales[group]);
    const float min = dmin * static_cast<float>(mins[group]);
    for (int j = 0; j < 32; ++j) {
      const int q = (b.qs[32 * (group / 2) + j] >> (4 * (group % 2))) & 0x0f;
      w[32 * group + j] = scale * static_cast<float>(q) - min;
    }
  }
}

void decode(const BlockQ5_K& b, float* w) {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  uint8_t scales[8], mins[8];
  unpack_scales_q4_k(b.scales, scales, mins);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(scales[group]);
    const float min = dmin * static_cast<float>(mins[group]);
    for (int j = 0; j < 32; ++j) {
      const int low = (b.qs[32 * (group / 2) + j] >> (4 * (group % 2))) & 0x0f;
      const int high = (b.qh[j] >> group) & 1;
      w[32 * group + j] = scale * static_cast<float>(low | (high << 4)) - min;
    }
  }
}

void decode(const BlockQ6_K& b, float* w) {
  const float d = f16_to_f32(b.d);
  for (int group = 0; group < 16; ++group) {
    const float scale = d * static_cast<float>(b.scales[group]);
    for (int j = 0; j < 16; ++j) {
      const int i = 16 * group + j;
      const int half = i / 128, quarter = i % 128 / 32, l = i % 32;
      const int low = (b.ql[64 * half + 32 * (quarter % 2) + l] >> (4 * (quarter / 2))) & 0x0f;
      const int high = (b.qh[32 * half + l] >> (2 * quarter)) & 3;
      w[i] = scale * static_cast<float>((low | (high << 4)) - 32);
    }
  }
}

void decode(const BlockQ8_K& b, float* w) {
  for (int i = 0; i < 256; ++i) w[i] = b.d * static_cast<float>(b.qs[i]);
}

void decode(const BlockIQ4_NL& b, float* w) {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 32; ++i) w[i] = d * static_cast<float>(kIq4Values[nibble(b.qs, i)]);
}

void decode(const BlockIQ4_XS& b, float* w) {
  const float d = f16_to_f32(b.d);
  for (int group = 0; group < 8; ++group) {
    const float scale = d * static_cast<float>(scale_iq4_xs(b, group));
    const uint8_t* qs = b.qs + 16 * group;
    for (int j = 0; j < 32; ++j) w[32 * group + j] = scale * static_cast<float>(kIq4Values[nibble(qs, j)]);
  }
}

void decode(const BlockMXFP4& b, float* w) {
  const float d = e8m0_half_to_f32(b.e);
  for (int i = 0; i < 32; ++i) w[i] = d * static_cast<float>(kMxfp4Values[nibble(b.qs, i)]);
}

template <typename Block>
void decode_blocks(const void* src, float* dst, int64_t n) {
  const auto* blocks = static_cast<const Block*>(src);
  for (int64_t i = 0; i < n / kElementsOf<Block>; ++i) decode(blocks[i], dst + i * kElementsOf<Block>);
}

template <typename T>
void convert(const void* src, float* dst, int64_t n) {
  const auto* values = static_cast<const T*>(src);
  for (int64_t i = 0; i < n; ++i) dst[i] = static_cast<float>(values[i]);
}

template <float (*kToFloat)(uint16_t)>
void convert_half(const void* src, float* dst, int64_t n) {
  const auto* values = static_cast<const uint16_t*>(src);
  for (int64_t i = 0; i < n; ++i) dst[i] = kToFloat(values[i]);
}

}  // namespace

void dequantize_row(DType dtype, const void* src, float* dst, int64_t n) {
  FERRUM_CHECK(n >= 0 && n % info(dtype).block_elements == 0, "a row must be whole blocks");
  switch (dtype) {
    case DType::kF32: return convert<float>(src, dst, n);
    case DType::kF16: return convert_half<f16_to_f32>(src, dst, n);
    case DType::kBF16: return convert_half<bf16_to_f32>(src, dst, n);
    case DType::kF64: return convert<double>(src, dst, n);
    case DType::kI8: return convert<int8_t>(src, dst, n);
    case DType::kI16: return convert<int16_t>(src, dst, n);
    case DType::kI32: return convert<int32_t>(src, dst, n);
    case DType::kI64: return convert<int64_t>(src, dst, n);
    case DType::kQ4_0: return decode_blocks<BlockQ4_0>(src, dst, n);
    case DType::kQ4_1: return decode_blocks<BlockQ4_1>(src, dst, n);
    case DType::kQ5_0: return decode_blocks<BlockQ5_0>(src, dst, n);
    case DType::kQ5_1: return decode_blocks<BlockQ5_1>(src, dst, n);
    case DType::kQ8_0: return decode_blocks<BlockQ8_0>(src, dst, n);
    case DType::kQ2_K: return decode_blocks<BlockQ2_K>(src, dst, n);
    case DType::kQ3_K: return decode_blocks<BlockQ3_K>(src, dst, n);
    case DType::kQ4_K: return decode_blocks<BlockQ4_K>(src, dst, n);
    case DType::kQ5_K: return decode_blocks<BlockQ5_K>(src, dst, n);
    case DType::kQ6_K: return decode_blocks<BlockQ6_K>(src, dst, n);
    case DType::kQ8_K: return decode_blocks<BlockQ8_K>(src, dst, n);
    case DType::kIQ4_NL: return decode_blocks<BlockIQ4_NL>(src, dst, n);
    case DType::kIQ4_XS: return decode_blocks<BlockIQ4_XS>(src, dst, n);
    case DType::kMXFP4: return decode_blocks<BlockMXFP4>(src, dst, n);
  }
  FERRUM_CHECK(false, "DType out of range");
}

}  // namespace ferrum
