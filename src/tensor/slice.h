// A part of a view along its first dimension.
#pragma once

#include "tensor/view.h"

namespace ferrum {

// Entries [begin, begin + n) of a vector, or such rows of a 2-d view, of a plain type.
template <typename Void>
BasicView<Void> slice(BasicView<Void> view, int64_t begin, int64_t n) {
  FERRUM_CHECK((view.rank == 1 || view.rank == 2) && begin >= 0 && n >= 0 && begin + n <= view.shape[0],
               "slice out of range");
  FERRUM_CHECK(!info(view.dtype).quantized, "a slice of blocks");
  using Byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
  view.data =
      static_cast<Byte*>(view.data) + begin * (view.rank == 1 ? 1 : view.row_stride) * info(view.dtype).block_bytes;
  view.shape[0] = n;
  if (view.rank == 1) view.row_stride = n;
  return view;
}

}  // namespace ferrum
