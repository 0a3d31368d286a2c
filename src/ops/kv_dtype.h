// The element types that a KV cache can have; in one place for those who make, check and read it.
#pragma once

#include "tensor/dtype.h"

namespace ferrum {

constexpr bool is_kv_dtype(DType dtype) {
  return dtype == DType::kF16 || dtype == DType::kBF16 || dtype == DType::kF32;
}

}  // namespace ferrum
