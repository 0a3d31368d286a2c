// F32, F16 and BF16 weights as kernels/float_panels.h reads them: sixteen rows interleaved, so that a row is a lane of
// a vector, column after column (F32, F16) or pair of columns after pair (BF16: what vdpbf16ps takes at a time).
//
// A panel is 16 rows of an even number of columns; an odd last column is followed by zeros, and the last panel of a
// matrix filled up with rows of zeros.
#pragma once

#include "backend/cpu/float_kernels.h"
#include "base/status.h"
#include "tensor/view.h"

namespace ferrum {

inline bool has_float_panels(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

// Columns of a panel.
inline int64_t float_panel_columns(int64_t columns) { return columns + columns % 2; }

// Elements of a token in a tile of activations: an odd number of cache lines, or tokens that are read together would
// lie a power of two apart and share a few sets of the first-level cache.
inline int64_t float_tile_stride(int64_t columns) { return ((columns + 31) / 32 | 1) * 32; }

// Panel `index` of a stored matrix [rows, columns] to `to`: 16 * float_panel_columns(columns) elements.
void pack_float_panel(const ConstView& matrix, int64_t index, std::byte* to);

}  // namespace ferrum
