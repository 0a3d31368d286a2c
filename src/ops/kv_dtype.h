// The element types that a KV cache can have; in one place for those who make, check and read it.
#pragma once

#include <cstdint>

#include "tensor/dtype.h"

namespace ferrum {

inline constexpr const char* kKvDTypes = "F16, BF16, F32 or I8";  // for messages

constexpr bool is_kv_dtype(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32 || dtype == DType::kI8;
}

// Integers come with a float32 scale per token and KV head: x ~ scale * q, scale = max |x| / 127. A row with a NaN or
// an infinity has the scale NaN, so that it shows wherever the row is read.
constexpr bool has_kv_scales(DType dtype) { return dtype == DType::kI8; }

// Bytes of one token's K (or V) of one KV head.
inline int64_t kv_row_bytes(DType dtype, int64_t head_dim) {
  return head_dim * info(dtype).block_bytes + (has_kv_scales(dtype) ? int64_t{sizeof(float)} : 0);
}

}  // namespace ferrum
