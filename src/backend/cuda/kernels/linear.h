// Multiplying with stored weights.
//
// Types with integers (QuantFormat) are multiplied as backend "cpu" does: activations become 8-bit integers in groups
// of 32, products are summed up exactly in groups (a tensor core operation each), and a group comes to a row's sum by
//   sum = fma(float(dot) * scale, d of the activations, sum);  with an offset:  sum = fma(offset, d * sum of q, sum)
// in ascending order within segments of kSegment columns, whose sums are added in ascending order. So it changes no bit
// how many tokens there are, nor which warp takes which segment. All other types are multiplied as floats.
#pragma once

#include <cstdint>

#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/launch.h"
#include "tensor/dtype.h"

namespace ferrum::cuda {

// How a type's blocks become integers and scales:  w = d * scale * q  (+ offset).
struct QuantFormat {
  int low_bits = 4;          // of an integer, kept together: 4 or 8
  int high_bits = 0;         // the rest of them: 0, 1 or 2
  int centre = 0;            // subtracted from the integer
  bool table = false;        // integers are indices of kIq4Values
  int group = 32;            // columns that share a scale
  bool super_block = false;  // d is for 256 columns, and each group has a scale of one byte
  enum class Offset { kNone, kMin, kAdd } offset = Offset::kNone;  // - dmin * min, or + m

  constexpr bool operator==(const QuantFormat&) const = default;
};

struct FormatOf {
  DType dtype;
  QuantFormat format;
};
inline constexpr FormatOf kFormats[] = {
    {DType::kQ8_0, {.low_bits = 8}},
    {DType::kQ4_0, {.centre = 8}},
    {DType::kQ4_1, {.offset = QuantFormat::Offset::kAdd}},
    {DType::kQ5_0, {.high_bits = 1, .centre = 16}},
    {DType::kQ5_1, {.high_bits = 1, .offset = QuantFormat::Offset::kAdd}},
    {DType::kQ4_K, {.super_block = true, .offset = QuantFormat::Offset::kMin}},
    {DType::kQ5_K, {.high_bits = 1, .super_block = true, .offset = QuantFormat::Offset::kMin}},
    {DType::kQ6_K, {.high_bits = 2, .centre = 32, .group = 16, .super_block = true}},
    {DType::kIQ4_NL, {.table = true}},
    {DType::kIQ4_XS, {.table = true, .super_block = true}},
};
inline constexpr int kNumFormats = sizeof(kFormats) / sizeof(kFormats[0]);

// Index into kFormats; -1 for types that are multiplied as floats.
constexpr int format_index(DType dtype) {
  for (int i = 0; i < kNumFormats; ++i) {
    if (kFormats[i].dtype == dtype) return i;
  }
  return -1;
}

inline constexpr int kTileRows = 16;  // of a tensor core operation
inline constexpr int kUnit = 32;      // columns of one
inline constexpr int kSegment = 512;
inline constexpr int kUnitsPerBlock = 256 / kUnit;  // of a super-block

// Weights as the kernel reads them. A unit is kTileRows rows times kUnit columns; units of a tile of rows follow each
// other. Within a unit lane l of a warp holds the integers of its fragment: of rows g and g + 8 (g = l / 4) the columns
// 4 t .. 4 t + 3 and 16 + 4 t .. (t = l % 4), as four words j = 0 .. 3: row g + 8 (j % 2), columns 16 (j / 2) + 4 t ..
struct QuantWeights {
  const uint32_t* low = nullptr;   // 8 bits: [units][32 lanes][4]; 4 bits: [..][2], words 0 and 2, 1 and 3 as nibbles
  const uint16_t* high = nullptr;  // 1 bit: [units][32 lanes], nibble j of word j; 2 bits: [..][2], see high_words()
  const int8_t* scales = nullptr;  // [units][32 / group][16 rows]
  const uint8_t* mins = nullptr;   // [units][16 rows]
  const uint16_t* d = nullptr;     // f16 [units or super-blocks][16 rows]
  const uint16_t* m = nullptr;     // f16, likewise: dmin or m
};

// Activations: [tokens][columns], [tokens][columns / 32] each.
struct QuantActivations {
  int8_t* q = nullptr;
  float* d = nullptr;
  float* sum = nullptr;  // d times the sum of q
};

// One matrix in the memory of the device.
struct StoredMatrix {
  DType dtype = DType::kF32;
  QuantWeights quants;            // of types in kFormats
  const void* weights = nullptr;  // of all others, as stored
  const float* bias = nullptr;    // null = none
};

// Rows [first, end) of x and y that are multiplied with the matrix of one expert, at most ExpertTiles::rows of them.
struct ExpertTile {
  int32_t expert, first, end;
};
// Matrices of the same shape, each for rows of its own: what experts are. A launch computes those of its type.
struct ExpertTiles {
  const ExpertTile* tiles = nullptr;  // null: one matrix for all rows
  const int32_t* count = nullptr;     // how many there are
  const StoredMatrix* matrices = nullptr;
  int64_t most = 0;  // that there can be: the host does not know the count
  int rows = 0;      // of a full tile: 8 times one of kTokenTiles
};

struct QuantizeArgs {
  ConstRows x;
  const int32_t* from;  // row i is made from this row of x; null: from row i
  QuantActivations to;
  int64_t columns;
};

struct QuantLinearArgs {
  StoredMatrix matrix;  // its dtype, where there are tiles
  QuantActivations x;
  Rows y;  // of this part
  int64_t rows, columns, tokens;
  ExpertTiles experts;
};

struct FloatLinearArgs {
  StoredMatrix matrix;
  int64_t row_bytes;
  ConstRows x;
  const int32_t* from;  // row i of y is computed from this row of x; null: from row i
  Rows y;
  int64_t rows, columns, tokens;
  ExpertTiles experts;
};

inline constexpr int kQuantizeGroups = 8;  // of a block, a warp each
inline constexpr int kLinearWarps = 8;
inline constexpr int kTokenTiles[] = {1, 4};  // variants: tiles of 8 tokens that share the unpacking of weights
inline constexpr int kFloatTokens = 4;        // that share the loads of float weights

inline LaunchShape quantize_shape(int64_t tokens, int64_t columns) {
  const int64_t blocks = ceil_div(columns / 32, kQuantizeGroups);
  return {{static_cast<uint32_t>(tokens), static_cast<uint32_t>(blocks)}, {32 * kQuantizeGroups}};
}
// Sums of a round of kLinearWarps segments lie in shared memory.
constexpr uint32_t quant_linear_shared(int token_tiles) {
  return static_cast<uint32_t>(kLinearWarps * kTileRows * 8 * token_tiles);
}
// Blocks of so many tokens that cover all of them.
template <typename Args>
uint32_t token_blocks(const Args& a, int tokens) {
  if (a.experts.tiles == nullptr || a.tokens == 0) return static_cast<uint32_t>(ceil_div(a.tokens, tokens));
  return static_cast<uint32_t>(a.experts.most * (a.experts.rows / tokens));
}
// Tokens in x: y and z end at 65535.
inline LaunchShape quant_linear_shape(const QuantLinearArgs& a, int token_tiles) {
  return {{token_blocks(a, 8 * token_tiles), static_cast<uint32_t>(ceil_div(a.rows, kTileRows))},
          {32 * kLinearWarps},
          quant_linear_shared(token_tiles) * static_cast<uint32_t>(sizeof(float))};
}
inline LaunchShape float_linear_shape(const FloatLinearArgs& a) {
  return {{token_blocks(a, kFloatTokens), static_cast<uint32_t>(ceil_div(a.rows, kLinearWarps))}, {32 * kLinearWarps}};
}
inline int token_tiles_variant(int64_t tokens) { return tokens <= 8 ? 0 : 1; }

struct LinearKernels {
  Kernel<QuantizeArgs> quantize;
  Kernel<FloatLinearArgs> floats;
  Kernel<QuantLinearArgs> quants[kNumFormats][2];  // by format and variant of kTokenTiles
};

}  // namespace ferrum::cuda
