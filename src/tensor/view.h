// Non-owning typed views of row-major memory, and the owning Buffer under them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/check.h"
#include "base/status.h"
#include "tensor/dtype.h"

namespace ferrum {

// Up to four dimensions, outermost first; dense row-major except for the row stride: rows of a 2-d view may lie
// further apart than they are long (a slice of columns). T is void or const void. The memory belongs to somebody else
// and may be on a device: only its backend dereferences `data`.
template <typename Void>
struct BasicView {
  Void* data = nullptr;
  DType dtype = DType::kF32;
  int rank = 0;
  std::array<int64_t, 4> shape{1, 1, 1, 1};
  int64_t row_stride = 0;  // elements from one row (last dimension) to the next

  BasicView() = default;
  BasicView(Void* data_, DType dtype_, std::initializer_list<int64_t> dims) : data(data_), dtype(dtype_) {
    FERRUM_CHECK(dims.size() <= 4, "a view has at most four dimensions");
    for (int64_t d : dims) shape[static_cast<size_t>(rank++)] = d;
    row_stride = rank > 0 ? shape[static_cast<size_t>(rank - 1)] : 0;
  }
  // View converts to ConstView.
  template <typename Other>
  requires std::is_convertible_v<Other*, Void*> BasicView(const BasicView<Other>& o)
      : data(o.data), dtype(o.dtype), rank(o.rank), shape(o.shape), row_stride(o.row_stride) {}

  int64_t dim(int i) const { return shape[static_cast<size_t>(i)]; }
  int64_t elements() const { return shape[0] * shape[1] * shape[2] * shape[3]; }
  // Rows and columns of the view seen as 2-d: the last dimension is the column.
  int64_t cols() const { return rank == 0 ? 1 : shape[static_cast<size_t>(rank - 1)]; }
  int64_t rows() const { return cols() == 0 ? 0 : elements() / cols(); }
  bool is_contiguous() const { return row_stride == cols(); }

  // The first n rows of a 2-d view.
  BasicView first_rows(int64_t n) const {
    FERRUM_CHECK(rank == 2 && n >= 0 && n <= shape[0], "first_rows out of range");
    BasicView v = *this;
    v.shape[0] = n;
    return v;
  }
  // Columns [begin, begin + n) of a 2-d view of a plain type; keeps the row stride.
  BasicView columns(int64_t begin, int64_t n) const {
    FERRUM_CHECK(rank == 2 && begin >= 0 && n >= 0 && begin + n <= shape[1], "columns out of range");
    FERRUM_CHECK(!info(dtype).quantized, "a column slice of blocks");
    BasicView v = *this;
    using Byte = std::conditional_t<std::is_const_v<Void>, const std::byte, std::byte>;
    v.data = static_cast<Byte*>(data) + begin * info(dtype).block_bytes;
    v.shape[1] = n;
    return v;
  }

  // Typed access for host memory; asserts the element size.
  template <typename T>
  auto* as() const {
    FERRUM_DCHECK(static_cast<int>(sizeof(T)) == info(dtype).block_bytes, "view of another type");
    if constexpr (std::is_const_v<Void>)
      return static_cast<const T*>(data);
    else
      return static_cast<T*>(data);
  }
  template <typename T>
  auto* row(int64_t r) const {
    return as<T>() + r * row_stride;
  }
};

using View = BasicView<void>;
using ConstView = BasicView<const void>;

// "[4, 128] F32", for messages.
std::string describe(const ConstView& view);

// Owning, aligned, zeroed memory with a custom release, so that backends can hand out device memory. Move-only.
class Buffer {
 public:
  using Release = void (*)(void* data, size_t bytes);

  Buffer() = default;
  Buffer(void* data, size_t bytes, Release release) : data_(data), bytes_(bytes), release_(release) {}
  Buffer(Buffer&& o) noexcept { swap(o); }
  Buffer& operator=(Buffer&& o) noexcept {
    Buffer moved(std::move(o));
    swap(moved);
    return *this;
  }
  ~Buffer() {
    if (data_ != nullptr) release_(data_, bytes_);
  }

  void* data() const { return data_; }
  size_t bytes() const { return bytes_; }

  // Host memory, 64-byte aligned and zeroed; huge pages are asked for from 2 MiB on. kCapacity when the system has
  // none.
  static Result<Buffer> host(size_t bytes);

 private:
  void swap(Buffer& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(bytes_, o.bytes_);
    std::swap(release_, o.release_);
  }
  void* data_ = nullptr;
  size_t bytes_ = 0;
  Release release_ = nullptr;
};

}  // namespace ferrum
