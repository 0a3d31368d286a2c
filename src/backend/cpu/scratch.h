// Sizes and growth of the buffers that a CpuContext lends to its operations.
#pragma once

#include <cstdint>
#include <limits>

#include "tensor/view.h"

namespace ferrum {

// Makes `buffer` at least `bytes` large.
inline Status grow(Buffer& buffer, int64_t bytes) {
  if (buffer.bytes() >= static_cast<size_t>(bytes)) return Status::ok();
  FERRUM_ASSIGN_OR_RETURN(buffer, Buffer::host(static_cast<size_t>(bytes)));
  return Status::ok();
}

// Saturates: such a size is refused when it is asked for.
inline int64_t product(int64_t a, int64_t b) {
  int64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? std::numeric_limits<int64_t>::max() : result;
}

}  // namespace ferrum
