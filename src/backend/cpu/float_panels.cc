#include "backend/cpu/float_panels.h"

#include <algorithm>
#include <cstring>

namespace ferrum {
namespace {

// Units of kUnit bytes: unit i of row r to place i * 16 + r.
template <size_t kUnit>
void interleave(const std::byte* rows, size_t row_bytes, int64_t count, size_t units, std::byte* to) {
  for (size_t i = 0; i < units; ++i) {
    for (int64_t r = 0; r < count; ++r) {
      std::memcpy(to + (i * kPanelRows + static_cast<size_t>(r)) * kUnit,
                  rows + static_cast<size_t>(r) * row_bytes + i * kUnit, kUnit);
    }
  }
}

}  // namespace

void pack_float_panel(const ConstView& matrix, int64_t index, std::byte* to) {
  const int64_t columns = matrix.dim(1), first = index * kPanelRows;
  const int64_t count = std::min<int64_t>(kPanelRows, matrix.dim(0) - first);
  const size_t element = bytes_of(matrix.dtype, 1), row_bytes = element * static_cast<size_t>(columns);
  const auto* rows = static_cast<const std::byte*>(matrix.data) + static_cast<size_t>(first) * row_bytes;
  const auto whole = static_cast<size_t>(columns);
  if (matrix.dtype == DType::kF32) return interleave<4>(rows, row_bytes, count, whole, to);
  if (matrix.dtype == DType::kF16) return interleave<2>(rows, row_bytes, count, whole, to);
  interleave<4>(rows, row_bytes, count, whole / 2, to);
  if (columns % 2 == 0) return;
  for (int64_t r = 0; r < count; ++r) {  // the last column, whose partner stays zero
    std::memcpy(to + (whole / 2 * kPanelRows + static_cast<size_t>(r)) * 4,
                rows + static_cast<size_t>(r + 1) * row_bytes - element, element);
  }
}

}  // namespace ferrum
