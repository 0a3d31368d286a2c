// Random bytes that are valid weights of any stored type, without the cost of quantising.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tensor/dtype.h"

namespace ferrum {

// Whether the type is one that files store weights in: all but F64, the integers and Q8_K.
bool is_weight_type(DType dtype);

// bytes_of(dtype, elements) bytes whose values are finite, of mean about 0 and standard deviation about `deviation`.
// The same seed gives the same bytes on every machine. `elements` is a multiple of the block size.
std::vector<std::byte> random_weights(DType dtype, int64_t elements, float deviation, uint64_t seed);

}  // namespace ferrum
