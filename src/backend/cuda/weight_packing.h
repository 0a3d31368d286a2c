// Stored matrices as the kernels of kernels/linear.h read them: on the host, before they are copied to the device.
#pragma once

#include <cstdint>
#include <vector>

#include "backend/cuda/kernels/linear.h"
#include "tensor/view.h"

namespace ferrum::cuda {

// The arrays of QuantWeights. Rows are filled up to whole tiles with scales of zero.
struct PackedWeights {
  std::vector<uint32_t> low;
  std::vector<uint16_t> high;
  std::vector<int8_t> scales;
  std::vector<uint8_t> mins;
  std::vector<uint16_t> d, m;
};

// Elements of these arrays.
struct PackedSizes {
  size_t low = 0, high = 0, scales = 0, mins = 0, d = 0, m = 0;
};
// `dtype` is a type in kFormats.
PackedSizes packed_sizes(DType dtype, int64_t rows, int64_t columns);

// `matrix` is of a type in kFormats, rows follow each other.
PackedWeights pack_weights(const ConstView& matrix);

}  // namespace ferrum::cuda
