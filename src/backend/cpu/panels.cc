#include "backend/cpu/panels.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "backend/cpu/float_panels.h"
#include "base/check.h"
#include "base/file_pages.h"
#include "quant/blocks.h"

namespace ferrum {
namespace {

// Of panels that a thread makes before it gives back the file's pages under them: what is resident in both forms, and
// enough for the call, and the interruption of the other threads that it takes, not to matter.
constexpr size_t kPieceBytes = size_t{256} << 10;

enum class Order { kAsStored, kBitPlanes };

struct Field {
  size_t offset = 0, bytes = 0, unit = 0;
  Order order = Order::kAsStored;
};

#define FERRUM_FIELD(block, field, unit) \
  Field { offsetof(block, field), sizeof(block::field), unit }

// The fifth bits of a block of 32, one after the other, become planes: bit j of byte b belongs to element 4 j + b.
#define FERRUM_BIT_PLANES(block, field) \
  Field { offsetof(block, field), sizeof(block::field), 4, Order::kBitPlanes }

constexpr Field kQ4_0[] = {FERRUM_FIELD(BlockQ4_0, d, 2), FERRUM_FIELD(BlockQ4_0, qs, 4)};
constexpr Field kQ4_1[] = {FERRUM_FIELD(BlockQ4_1, d, 2), FERRUM_FIELD(BlockQ4_1, m, 2),
                           FERRUM_FIELD(BlockQ4_1, qs, 4)};
constexpr Field kQ5_0[] = {FERRUM_FIELD(BlockQ5_0, d, 2), FERRUM_BIT_PLANES(BlockQ5_0, qh),
                           FERRUM_FIELD(BlockQ5_0, qs, 4)};
constexpr Field kQ5_1[] = {FERRUM_FIELD(BlockQ5_1, d, 2), FERRUM_FIELD(BlockQ5_1, m, 2),
                           FERRUM_BIT_PLANES(BlockQ5_1, qh), FERRUM_FIELD(BlockQ5_1, qs, 4)};
constexpr Field kQ8_0[] = {FERRUM_FIELD(BlockQ8_0, d, 2), FERRUM_FIELD(BlockQ8_0, qs, 4)};
constexpr Field kQ2_K[] = {FERRUM_FIELD(BlockQ2_K, scales, 1), FERRUM_FIELD(BlockQ2_K, qs, 4),
                           FERRUM_FIELD(BlockQ2_K, d, 2), FERRUM_FIELD(BlockQ2_K, dmin, 2)};
constexpr Field kQ3_K[] = {FERRUM_FIELD(BlockQ3_K, hmask, 4), FERRUM_FIELD(BlockQ3_K, qs, 4),
                           FERRUM_FIELD(BlockQ3_K, scales, 1), FERRUM_FIELD(BlockQ3_K, d, 2)};
constexpr Field kQ4_K[] = {FERRUM_FIELD(BlockQ4_K, d, 2), FERRUM_FIELD(BlockQ4_K, dmin, 2),
                           FERRUM_FIELD(BlockQ4_K, scales, 1), FERRUM_FIELD(BlockQ4_K, qs, 4)};
constexpr Field kQ5_K[] = {FERRUM_FIELD(BlockQ5_K, d, 2), FERRUM_FIELD(BlockQ5_K, dmin, 2),
                           FERRUM_FIELD(BlockQ5_K, scales, 1), FERRUM_FIELD(BlockQ5_K, qh, 4),
                           FERRUM_FIELD(BlockQ5_K, qs, 4)};
constexpr Field kQ6_K[] = {FERRUM_FIELD(BlockQ6_K, ql, 4), FERRUM_FIELD(BlockQ6_K, qh, 4),
                           FERRUM_FIELD(BlockQ6_K, scales, 1), FERRUM_FIELD(BlockQ6_K, d, 2)};
constexpr Field kQ8_K[] = {FERRUM_FIELD(BlockQ8_K, d, 4), FERRUM_FIELD(BlockQ8_K, qs, 4),
                           FERRUM_FIELD(BlockQ8_K, bsums, 2)};
constexpr Field kIQ4_NL[] = {FERRUM_FIELD(BlockIQ4_NL, d, 2), FERRUM_FIELD(BlockIQ4_NL, qs, 4)};
constexpr Field kIQ4_XS[] = {FERRUM_FIELD(BlockIQ4_XS, d, 2), FERRUM_FIELD(BlockIQ4_XS, scales_h, 1),
                             FERRUM_FIELD(BlockIQ4_XS, scales_l, 1), FERRUM_FIELD(BlockIQ4_XS, qs, 4)};
constexpr Field kMXFP4[] = {FERRUM_FIELD(BlockMXFP4, e, 1), FERRUM_FIELD(BlockMXFP4, qs, 4)};

#undef FERRUM_FIELD
#undef FERRUM_BIT_PLANES

// Empty for types without panels.
std::span<const Field> fields_of(DType dtype) {
  switch (dtype) {
    case DType::kQ4_0: return kQ4_0;
    case DType::kQ4_1: return kQ4_1;
    case DType::kQ5_0: return kQ5_0;
    case DType::kQ5_1: return kQ5_1;
    case DType::kQ8_0: return kQ8_0;
    case DType::kQ2_K: return kQ2_K;
    case DType::kQ3_K: return kQ3_K;
    case DType::kQ4_K: return kQ4_K;
    case DType::kQ5_K: return kQ5_K;
    case DType::kQ6_K: return kQ6_K;
    case DType::kQ8_K: return kQ8_K;
    case DType::kIQ4_NL: return kIQ4_NL;
    case DType::kIQ4_XS: return kIQ4_XS;
    case DType::kMXFP4: return kMXFP4;
    default: return {};
  }
}

uint32_t bit_planes(uint32_t bits) {
  uint32_t planes = 0;
  for (int element = 0; element < 32; ++element) {
    const int plane = element / 4, byte = element % 4;
    planes |= (bits >> element & 1u) << (8 * byte + plane);
  }
  return planes;
}

template <size_t kUnit>
void interleave(const std::byte* from, size_t bytes, std::byte* to) {
  for (size_t at = 0; at < bytes; at += kUnit) std::memcpy(to + kPanelRows * at, from + at, kUnit);
}

// One row's field, `to` being the place of its first unit.
void interleave(const Field& field, const std::byte* from, std::byte* to) {
  if (field.order == Order::kBitPlanes) {
    uint32_t bits;
    std::memcpy(&bits, from, sizeof bits);
    bits = bit_planes(bits);
    std::memcpy(to, &bits, sizeof bits);
  } else if (field.unit == 1) {
    interleave<1>(from, field.bytes, to);
  } else if (field.unit == 2) {
    interleave<2>(from, field.bytes, to);
  } else {
    interleave<4>(from, field.bytes, to);
  }
}

struct Packing {
  std::span<const Field> fields;
  const std::byte* stored = nullptr;
  size_t row_bytes = 0, block_bytes = 0;
  int64_t rows = 0;

  void pack(int64_t panel, std::byte* to) const {
    const int64_t first = panel * kPanelRows, count = std::min<int64_t>(kPanelRows, rows - first);
    for (size_t at = 0; at < row_bytes; at += block_bytes) {
      for (const Field& field : fields) {
        std::byte* packed = to + kPanelRows * (at + field.offset);
        for (int64_t r = 0; r < count; ++r) {
          const std::byte* block = stored + static_cast<size_t>(first + r) * row_bytes + at;
          interleave(field, block + field.offset, packed + static_cast<size_t>(r) * field.unit);
        }
      }
    }
  }
};

int64_t panels_of(int64_t rows) { return (rows + kPanelRows - 1) / kPanelRows; }

}  // namespace

bool has_panels(DType dtype) { return has_float_panels(dtype) || !fields_of(dtype).empty(); }

size_t panel_bytes(DType dtype, int64_t rows, int64_t columns) {
  const int64_t wide = has_float_panels(dtype) ? float_panel_columns(columns) : columns;
  return static_cast<size_t>(panels_of(rows) * kPanelRows) * bytes_of(dtype, wide);
}

Result<Buffer> pack_panels(const ConstView& matrix, bool mapped, ThreadPool& pool, HostArena& memory) {
  FERRUM_ASSIGN_OR_RETURN(Buffer packed, memory.take(panel_bytes(matrix.dtype, matrix.dim(0), matrix.dim(1))));
  pack_panels_at(matrix, mapped, pool, static_cast<std::byte*>(packed.data()));
  return packed;
}

void pack_panels_at(const ConstView& matrix, bool mapped, ThreadPool& pool, std::byte* to) {
  const DType dtype = matrix.dtype;
  FERRUM_CHECK(has_panels(dtype), "panels of a type that has none");
  const int64_t rows = matrix.dim(0), columns = matrix.dim(1);
  const Packing packing{fields_of(dtype), static_cast<const std::byte*>(matrix.data), bytes_of(dtype, columns),
                        static_cast<size_t>(info(dtype).block_bytes), rows};
  const bool floats = has_float_panels(dtype);
  const size_t panel_size = panel_bytes(dtype, kPanelRows, columns);
  const auto rows_before = [&](int64_t panel) { return std::min(rows, panel * kPanelRows); };
  const auto drop = [&](int64_t begin, int64_t end) {
    const int64_t first = rows_before(begin), past = rows_before(end);
    drop_pages(packing.stored + static_cast<size_t>(first) * packing.row_bytes,
               static_cast<size_t>(past - first) * packing.row_bytes);
  };
  const int64_t grain = std::max<int64_t>(1, static_cast<int64_t>(kPieceBytes / panel_size));
  pool.parallel_for(panels_of(rows), grain, [&](int64_t begin, int64_t end) {
    for (int64_t panel = begin; panel < end; ++panel) {
      std::byte* const at = to + static_cast<size_t>(panel) * panel_size;
      floats ? pack_float_panel(matrix, panel, at) : packing.pack(panel, at);
    }
    if (mapped) drop(begin, end);
  });
  // What the pieces share, and what the system mapped around them.
  if (mapped) drop(0, panels_of(rows));
}

}  // namespace ferrum
