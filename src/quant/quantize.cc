#include "quant/quantize.h"

#include <cmath>
#include <limits>
#include <string>
#include <type_traits>

#include "base/check.h"
#include "quant/quantize_internal.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

constexpr float kLargestHalf = 65504.0f;

Status refuse(DType dtype, const float* src, int64_t index) {
  return invalid_argument("value " + std::to_string(index) + " is " + std::to_string(src[index]) + ", which " +
                          std::string(to_string(dtype)) + " cannot hold");
}

// Every value finite and of magnitude at most `largest`.
Status check_range(DType dtype, const float* src, int64_t n, float largest) {
  for (int64_t i = 0; i < n; ++i) {
    if (!(std::fabs(src[i]) <= largest)) return refuse(dtype, src, i);  // NaN compares false
  }
  return Status::ok();
}

template <typename Block>
Status encode_blocks(const float* src, void* dst, int64_t n) {
  // An MXFP4 scale reaches as far as a float; all others are half precision.
  const float largest = std::is_same_v<Block, BlockMXFP4> ? std::numeric_limits<float>::max() : kLargestHalf;
  FERRUM_RETURN_IF_ERROR(check_range(kDTypeOf<Block>, src, n, largest));
  auto* blocks = static_cast<Block*>(dst);
  for (int64_t i = 0; i < n / kElementsOf<Block>; ++i) encode(src + i * kElementsOf<Block>, blocks[i]);
  return Status::ok();
}

// Integers: rounds half to even.
template <typename T>
Status encode_integers(DType dtype, const float* src, void* dst, int64_t n) {
  auto* out = static_cast<T*>(dst);
  // Exact in float: -2^k, and 2^k itself is the first value too large.
  const float low = static_cast<float>(std::numeric_limits<T>::min());
  for (int64_t i = 0; i < n; ++i) {
    const float rounded = std::nearbyint(src[i]);
    if (!(rounded >= low && rounded < -low)) return refuse(dtype, src, i);
    out[i] = static_cast<T>(rounded);
  }
  return Status::ok();
}

template <typename T>
Status encode_floats(const float* src, void* dst, int64_t n) {
  auto* out = static_cast<T*>(dst);
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<T>(src[i]);
  return Status::ok();
}

template <uint16_t (*kToHalf)(float)>
Status encode_halves(const float* src, void* dst, int64_t n) {
  auto* out = static_cast<uint16_t*>(dst);
  for (int64_t i = 0; i < n; ++i) out[i] = kToHalf(src[i]);
  return Status::ok();
}

// Infinity and NaN have halves of their own; finite values must stay finite.
Status encode_f16(const float* src, void* dst, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    if (std::isfinite(src[i]) && std::fabs(src[i]) > kLargestHalf) return refuse(DType::kF16, src, i);
  }
  return encode_halves<f32_to_f16>(src, dst, n);
}

Status encode_q8_k(const float* src, void* dst, int64_t n) {
  FERRUM_RETURN_IF_ERROR(check_range(DType::kQ8_K, src, n, std::numeric_limits<float>::max()));
  quantize_activations(src, static_cast<BlockQ8_K*>(dst), n);
  return Status::ok();
}

}  // namespace

Status quantize_row(DType dtype, const float* src, void* dst, int64_t n) {
  FERRUM_CHECK(n >= 0 && n % info(dtype).block_elements == 0, "a row must be whole blocks");
  switch (dtype) {
    case DType::kF32: return encode_floats<float>(src, dst, n);
    case DType::kF16: return encode_f16(src, dst, n);
    case DType::kBF16: return encode_halves<f32_to_bf16>(src, dst, n);
    case DType::kF64: return encode_floats<double>(src, dst, n);
    case DType::kI8: return encode_integers<int8_t>(dtype, src, dst, n);
    case DType::kI16: return encode_integers<int16_t>(dtype, src, dst, n);
    case DType::kI32: return encode_integers<int32_t>(dtype, src, dst, n);
    case DType::kI64: return encode_integers<int64_t>(dtype, src, dst, n);
    case DType::kQ4_0: return encode_blocks<BlockQ4_0>(src, dst, n);
    case DType::kQ4_1: return encode_blocks<BlockQ4_1>(src, dst, n);
    case DType::kQ5_0: return encode_blocks<BlockQ5_0>(src, dst, n);
    case DType::kQ5_1: return encode_blocks<BlockQ5_1>(src, dst, n);
    case DType::kQ8_0: return encode_blocks<BlockQ8_0>(src, dst, n);
    case DType::kQ2_K: return encode_blocks<BlockQ2_K>(src, dst, n);
    case DType::kQ3_K: return encode_blocks<BlockQ3_K>(src, dst, n);
    case DType::kQ4_K: return encode_blocks<BlockQ4_K>(src, dst, n);
    case DType::kQ5_K: return encode_blocks<BlockQ5_K>(src, dst, n);
    case DType::kQ6_K: return encode_blocks<BlockQ6_K>(src, dst, n);
    case DType::kQ8_K: return encode_q8_k(src, dst, n);
    case DType::kIQ4_NL: return encode_blocks<BlockIQ4_NL>(src, dst, n);
    case DType::kIQ4_XS: return encode_blocks<BlockIQ4_XS>(src, dst, n);
    case DType::kMXFP4: return encode_blocks<BlockMXFP4>(src, dst, n);
  }
  FERRUM_CHECK(false, "DType out of range");
}

}  // namespace ferrum
