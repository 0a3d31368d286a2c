#include "backend/cuda/weight_packing.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "quant/blocks.h"

namespace ferrum::cuda {
namespace {

// A unit's columns of one row: integers before anything is subtracted, and scales.
struct UnitRow {
  std::array<uint8_t, kUnit> q{};
  std::array<int8_t, 2> scales{};
  uint8_t min = 0;
  uint16_t d = 0, m = 0;
};

uint8_t nibble(const uint8_t* qs, int i) { return static_cast<uint8_t>(i < 16 ? qs[i] & 0x0f : qs[i - 16] >> 4); }
int bit(const uint8_t* bytes, int i) { return bytes[i / 8] >> (i % 8) & 1; }

void read(const BlockQ8_0& b, int, UnitRow& u) {
  for (size_t i = 0; i < kUnit; ++i) u.q[i] = static_cast<uint8_t>(b.qs[i]);
  u.d = b.d;
}
template <typename Block>
void read_nibbles(const Block& b, UnitRow& u) {
  for (int i = 0; i < kUnit; ++i) u.q[static_cast<size_t>(i)] = nibble(b.qs, i);
  u.d = b.d;
}
template <typename Block>
void add_fifth_bits(const Block& b, UnitRow& u) {
  for (int i = 0; i < kUnit; ++i) u.q[static_cast<size_t>(i)] |= static_cast<uint8_t>(bit(b.qh, i) << 4);
}
void read(const BlockQ4_0& b, int, UnitRow& u) { read_nibbles(b, u); }
void read(const BlockIQ4_NL& b, int, UnitRow& u) { read_nibbles(b, u); }
void read(const BlockQ4_1& b, int, UnitRow& u) {
  read_nibbles(b, u);
  u.m = b.m;
}
void read(const BlockQ5_0& b, int, UnitRow& u) {
  read_nibbles(b, u);
  add_fifth_bits(b, u);
}
void read(const BlockQ5_1& b, int, UnitRow& u) {
  read_nibbles(b, u);
  add_fifth_bits(b, u);
  u.m = b.m;
}

template <typename Block>
void read_k(const Block& b, int group, UnitRow& u) {
  uint8_t scales[8], mins[8];
  unpack_scales_q4_k(b.scales, scales, mins);
  for (int i = 0; i < kUnit; ++i) {
    u.q[static_cast<size_t>(i)] = static_cast<uint8_t>(b.qs[32 * (group / 2) + i] >> (4 * (group % 2)) & 0x0f);
  }
  u.scales[0] = static_cast<int8_t>(scales[group]);
  u.min = mins[group];
  u.d = b.d;
  u.m = b.dmin;
}
void read(const BlockQ4_K& b, int group, UnitRow& u) { read_k(b, group, u); }
void read(const BlockQ5_K& b, int group, UnitRow& u) {
  read_k(b, group, u);
  for (int i = 0; i < kUnit; ++i) u.q[static_cast<size_t>(i)] |= static_cast<uint8_t>((b.qh[i] >> group & 1) << 4);
}
void read(const BlockQ6_K& b, int group, UnitRow& u) {
  const int half = group / 4, k = group % 4;
  for (int i = 0; i < kUnit; ++i) {
    const int low = b.ql[64 * half + 32 * (k % 2) + i] >> (4 * (k / 2)) & 0x0f;
    const int high = b.qh[32 * half + i] >> (2 * k) & 3;
    u.q[static_cast<size_t>(i)] = static_cast<uint8_t>(low | high << 4);
  }
  u.scales = {b.scales[2 * group], b.scales[2 * group + 1]};
  u.d = b.d;
}
void read(const BlockIQ4_XS& b, int group, UnitRow& u) {
  for (int i = 0; i < kUnit; ++i) u.q[static_cast<size_t>(i)] = nibble(b.qs + 16 * group, i);
  u.scales[0] = static_cast<int8_t>(scale_iq4_xs(b, group));
  u.d = b.d;
}

template <typename Block>
void read_unit(const std::byte* row, int64_t unit, UnitRow& u) {
  constexpr int kUnits = kElementsOf<Block> / kUnit;
  read(reinterpret_cast<const Block*>(row)[unit / kUnits], static_cast<int>(unit % kUnits), u);
}

using Reader = void (*)(const std::byte* row, int64_t unit, UnitRow&);
Reader reader_of(DType dtype) {
  switch (dtype) {
    case DType::kQ8_0: return read_unit<BlockQ8_0>;
    case DType::kQ4_0: return read_unit<BlockQ4_0>;
    case DType::kQ4_1: return read_unit<BlockQ4_1>;
    case DType::kQ5_0: return read_unit<BlockQ5_0>;
    case DType::kQ5_1: return read_unit<BlockQ5_1>;
    case DType::kQ4_K: return read_unit<BlockQ4_K>;
    case DType::kQ5_K: return read_unit<BlockQ5_K>;
    case DType::kQ6_K: return read_unit<BlockQ6_K>;
    case DType::kIQ4_NL: return read_unit<BlockIQ4_NL>;
    case DType::kIQ4_XS: return read_unit<BlockIQ4_XS>;
    default: return nullptr;
  }
}

class Packer {
 public:
  Packer(const ConstView& matrix, const QuantFormat& format) : f_(format), units_(matrix.dim(1) / kUnit) {
    const PackedSizes sizes = packed_sizes(matrix.dtype, matrix.dim(0), matrix.dim(1));
    packed_.low.resize(sizes.low);
    packed_.high.resize(sizes.high);
    packed_.scales.resize(sizes.scales);
    packed_.mins.resize(sizes.mins);
    packed_.d.resize(sizes.d);
    packed_.m.resize(sizes.m);
  }

  void put(int64_t row, int64_t unit, const UnitRow& u) {
    const int64_t stored = row / kTileRows * units_ + unit;
    const int in_tile = static_cast<int>(row % kTileRows);
    put_scales(stored, in_tile, u);
    for (int t = 0; t < 4; ++t) {
      const int64_t place = stored * 32 + in_tile % 8 * 4 + t;
      for (int half = 0; half < 2; ++half)
        put_word(place, in_tile / 8 + 2 * half, &u.q[static_cast<size_t>(16 * half + 4 * t)]);
    }
  }
  PackedWeights take() { return std::move(packed_); }

 private:
  void put_scales(int64_t stored, int in_tile, const UnitRow& u) {
    const auto at = static_cast<size_t>(stored * kTileRows + in_tile);
    const auto of_d = static_cast<size_t>((f_.super_block ? stored / kUnitsPerBlock : stored) * kTileRows + in_tile);
    packed_.d[of_d] = u.d;
    if (!packed_.m.empty()) packed_.m[of_d] = u.m;
    if (!packed_.mins.empty()) packed_.mins[at] = u.min;
    const int parts = kUnit / f_.group;
    for (int part = 0; f_.super_block && part < parts; ++part) {
      packed_.scales[static_cast<size_t>((stored * parts + part) * kTileRows + in_tile)] =
          u.scales[static_cast<size_t>(part)];
    }
  }

  // Four integers of word j of a lane's fragment.
  void put_word(int64_t place, int j, const uint8_t* q) {
    const auto at = static_cast<size_t>(place);
    for (int i = 0; i < 4; ++i) {
      const uint32_t value = q[i];
      if (f_.low_bits == 8) {
        packed_.low[4 * at + static_cast<size_t>(j)] |= value << (8 * i);
        continue;
      }
      packed_.low[2 * at + static_cast<size_t>(j % 2)] |= (value & 0x0f) << (8 * i + 4 * (j / 2));
      const uint32_t high = value >> 4;
      if (f_.high_bits == 1) packed_.high[at] |= static_cast<uint16_t>(high << (4 * j + i));
      if (f_.high_bits == 2)
        packed_.high[2 * at + static_cast<size_t>(i / 2)] |= static_cast<uint16_t>(high << (8 * (i % 2) + 2 * j));
    }
  }

  const QuantFormat f_;
  const int64_t units_;  // of a row
  PackedWeights packed_;
};

}  // namespace

PackedSizes packed_sizes(DType dtype, int64_t rows, int64_t columns) {
  const QuantFormat& f = kFormats[format_index(dtype)].format;
  const auto units = static_cast<size_t>(ceil_div(rows, kTileRows) * (columns / kUnit)), filled = units * kTileRows;
  const size_t scaled = f.super_block ? filled / kUnitsPerBlock : filled;
  PackedSizes sizes;
  sizes.low = units * 32 * (f.low_bits == 8 ? 4 : 2);
  sizes.high = units * 32 * static_cast<size_t>(f.high_bits);
  if (f.super_block) sizes.scales = filled * static_cast<size_t>(kUnit / f.group);
  if (f.offset == QuantFormat::Offset::kMin) sizes.mins = filled;
  sizes.d = scaled;
  if (f.offset != QuantFormat::Offset::kNone) sizes.m = scaled;
  return sizes;
}

PackedWeights pack_weights(const ConstView& matrix) {
  const int index = format_index(matrix.dtype);
  FERRUM_CHECK(index >= 0 && matrix.dim(1) % kUnit == 0, "cannot pack " + describe(matrix));
  Packer packer(matrix, kFormats[index].format);
  const Reader read_from = reader_of(matrix.dtype);
  const auto* row = static_cast<const std::byte*>(matrix.data);
  const size_t row_bytes = bytes_of(matrix.dtype, matrix.dim(1));
  for (int64_t r = 0; r < matrix.dim(0); ++r, row += row_bytes) {
    for (int64_t unit = 0; unit < matrix.dim(1) / kUnit; ++unit) {
      UnitRow u;
      read_from(row, unit, u);
      packer.put(r, unit, u);
    }
  }
  return packer.take();
}

}  // namespace ferrum::cuda
