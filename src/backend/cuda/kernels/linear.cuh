#pragma once

#include <utility>

#include "backend/cuda/kernels/blocks.cuh"
#include "backend/cuda/kernels/linear.h"
#include "backend/cuda/kernels/math.cuh"

namespace ferrum::cuda::FERRUM_CUDA_TARGET {

// As quant/quantize.h defines quantize_activations(). A warp takes a group.
FERRUM_KERNEL(32 * kQuantizeGroups) void quantize(const QuantizeArgs a) {
  const int64_t token = blockIdx.x, groups = a.columns / 32;
  const int64_t group = int64_t{blockIdx.y} * kQuantizeGroups + threadIdx.x / 32;
  if (group >= groups) return;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t from = a.from != nullptr ? a.from[token] : token;
  const float x = a.x.data[from * a.x.stride + 32 * group + lane];
  const float largest = warp_max(fabsf(x)), fault = warp_sum(x - x);  // 0, or NaN
  const bool zero = largest < 1e-30f || fault != fault;
  const float q = zero ? 0.0f : rintf(x * (127.0f / largest));
  const float sum = warp_sum(q);  // of integers: exact
  const float d = fault != fault ? fault : zero ? 0.0f : largest / 127.0f;
  a.to.q[token * a.columns + 32 * group + lane] = static_cast<int8_t>(q);
  if (lane != 0) return;
  a.to.d[token * groups + group] = d;
  a.to.sum[token * groups + group] = d * sum;
}

// Tokens [first, end) of a block, none if there is nothing to do, and what they are multiplied with.
struct BlockOfTokens {
  StoredMatrix matrix;
  int64_t first = 0, end = 0;
};
// The block blockIdx.x of token_blocks(a, tokens).
template <typename Args>
FERRUM_DEVICE BlockOfTokens block_of_tokens(const Args& a, int tokens) {
  const int64_t block = blockIdx.x;
  if (a.experts.tiles == nullptr) {
    return {a.matrix, block * tokens, block * tokens + tokens < a.tokens ? block * tokens + tokens : a.tokens};
  }
  const int64_t per_tile = a.experts.rows / tokens, index = block / per_tile;
  if (index >= *a.experts.count) return {};
  const ExpertTile tile = a.experts.tiles[index];
  const int64_t first = tile.first + block % per_tile * tokens;
  if (a.experts.matrices[tile.expert].dtype != a.matrix.dtype || first >= tile.end) return {};
  return {a.experts.matrices[tile.expert], first, first + tokens < tile.end ? first + tokens : tile.end};
}

// Each lane takes every 32nd column, fused operations in ascending order; then the lanes are added up.
FERRUM_KERNEL(32 * kLinearWarps) void float_linear(const FloatLinearArgs a) {
  const BlockOfTokens block = block_of_tokens(a, kFloatTokens);
  const int64_t row = int64_t{blockIdx.y} * kLinearWarps + threadIdx.x / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (row >= a.rows || block.first >= block.end) return;
  const auto* weights = static_cast<const unsigned char*>(block.matrix.weights) + row * a.row_bytes;
  const float* x[kFloatTokens] = {};
  for (int t = 0; t < kFloatTokens && block.first + t < block.end; ++t) {
    x[t] = a.x.data + (a.from != nullptr ? a.from[block.first + t] : block.first + t) * a.x.stride;
  }
  float sums[kFloatTokens] = {};
  for (int64_t i = lane; i < a.columns; i += 32) {
    const float w = stored_element(a.matrix.dtype, weights, i);
    for (int t = 0; t < kFloatTokens; ++t) {
      if (x[t] != nullptr) sums[t] = fmaf(w, x[t][i], sums[t]);
    }
  }
  const float* bias = block.matrix.bias;
  for (int t = 0; t < kFloatTokens && block.first + t < block.end; ++t) {
    const float sum = warp_sum(sums[t]);
    if (lane != 0) continue;
    a.y.data[(block.first + t) * a.y.stride + row] = bias != nullptr ? sum + bias[row] : sum;
  }
}

FERRUM_DEVICE uint32_t subtract_from_bytes(uint32_t bytes, int centre) {  // of bytes below 128
  return ((bytes | 0x80808080u) - static_cast<uint32_t>(centre) * 0x01010101u) ^ 0x80808080u;
}
FERRUM_DEVICE uint32_t iq4_bytes(uint32_t nibbles) {
  uint32_t bytes = 0;
  for (int i = 0; i < 32; i += 8) bytes |= static_cast<uint32_t>(iq4_value(nibbles >> i & 0x0f) & 0xff) << i;
  return bytes;
}
// The high bits of a lane's word j, where the low ones end: of two bits byte i has that of word j at 2 j.
template <int kBits>
FERRUM_DEVICE uint32_t high_bits_of(const uint16_t* high, int64_t place, int j) {
  if constexpr (kBits == 1) {
    return (uint32_t{high[place]} >> (4 * j) & 0x0fu) * 0x00204081u & 0x01010101u;
  } else {
    return (uint32_t{high[2 * place]} | uint32_t{high[2 * place + 1]} << 16) >> (2 * j) & 0x03030303u;
  }
}

// A lane's fragment of a unit, as signed bytes.
template <QuantFormat kF>
FERRUM_DEVICE void load_fragment(const QuantWeights& w, int64_t unit, int lane, uint32_t (&a)[4]) {
  const int64_t place = unit * 32 + lane;
  if constexpr (kF.low_bits == 8) {
    const uint4 words = load_as<uint4>(w.low + 4 * place);
    a[0] = words.x, a[1] = words.y, a[2] = words.z, a[3] = words.w;
  } else {
    const uint2 words = load_as<uint2>(w.low + 2 * place);
    a[0] = words.x & 0x0f0f0f0fu, a[1] = words.y & 0x0f0f0f0fu;
    a[2] = words.x >> 4 & 0x0f0f0f0fu, a[3] = words.y >> 4 & 0x0f0f0f0fu;
  }
  for (int j = 0; j < 4; ++j) {
    if constexpr (kF.high_bits > 0) a[j] |= high_bits_of<kF.high_bits>(w.high, place, j) << 4;
    if constexpr (kF.table) a[j] = iq4_bytes(a[j]);
    if constexpr (kF.centre > 0) a[j] = subtract_from_bytes(a[j], kF.centre);
  }
}

// What the integers of a row (0 to 15) in group `part` of a unit are multiplied with, and what is added.
template <QuantFormat kF>
FERRUM_DEVICE float scale_of(const QuantWeights& w, int64_t unit, int part, int row) {
  if constexpr (!kF.super_block) return f16_to_float(w.d[unit * kTileRows + row]);
  const float d = f16_to_float(w.d[unit / kUnitsPerBlock * kTileRows + row]);
  return d * static_cast<float>(w.scales[(unit * (kUnit / kF.group) + part) * kTileRows + row]);
}
template <QuantFormat kF>
FERRUM_DEVICE float offset_of(const QuantWeights& w, int64_t unit, int row) {
  if constexpr (kF.offset == QuantFormat::Offset::kAdd) return f16_to_float(w.m[unit * kTileRows + row]);
  const float min = static_cast<float>(w.mins[unit * kTileRows + row]);
  return -(f16_to_float(w.m[unit / kUnitsPerBlock * kTileRows + row]) * min);
}

// A warp's part: one segment of the rows of a tile, for tiles of 8 tokens. sums[n][i] is element i of the lane's
// fragment of tile n: row g + 8 (i / 2), token 2 t + i % 2.
template <QuantFormat kF, int kTiles>
struct SegmentSum {
  const QuantWeights& weights;
  const QuantActivations& x;
  int64_t columns;
  int64_t first_unit;  // of this tile of rows
  int64_t first_token, end_token;
  int g, t;
  float sums[kTiles][4];

  // Activations of the 8 columns of the fragment of B: those of token g of the tile.
  FERRUM_DEVICE void load_activations(int64_t unit, int tile, uint32_t (&b)[2]) const {
    const int64_t token = first_token + 8 * tile + g;
    const int8_t* q = x.q + token * columns + unit * kUnit + 4 * t;
    b[0] = token < end_token ? load_as<uint32_t>(q) : 0;
    b[1] = token < end_token ? load_as<uint32_t>(q + 16) : 0;
  }

  FERRUM_DEVICE void add_group(const int32_t (&dots)[4], int tile, int64_t unit, const float (&scale)[2],
                               const float (&offset)[2]) {
    const int64_t groups = columns / kUnit;
    for (int i = 0; i < 4; ++i) {
      const int64_t token = first_token + 8 * tile + 2 * t + i % 2;
      if (token >= end_token) continue;
      const int64_t group = token * groups + unit;
      sums[tile][i] = fmaf(static_cast<float>(dots[i]) * scale[i / 2], x.d[group], sums[tile][i]);
      if constexpr (kF.offset != QuantFormat::Offset::kNone) {
        sums[tile][i] = fmaf(offset[i / 2], x.sum[group], sums[tile][i]);
      }
    }
  }

  FERRUM_DEVICE void add_unit(int64_t unit) {
    const int64_t stored = first_unit + unit;
    uint32_t w[4];
    load_fragment<kF>(weights, stored, 4 * g + t, w);
    float offset[2] = {};
    if constexpr (kF.offset != QuantFormat::Offset::kNone) {
      for (int i = 0; i < 2; ++i) offset[i] = offset_of<kF>(weights, stored, g + 8 * i);
    }
    constexpr int kParts = kUnit / kF.group;
    float scale[kParts][2];
    for (int part = 0; part < kParts; ++part) {
      for (int i = 0; i < 2; ++i) scale[part][i] = scale_of<kF>(weights, stored, part, g + 8 * i);
    }
    for (int tile = 0; tile < kTiles; ++tile) {
      uint32_t b[2];
      load_activations(unit, tile, b);
      int32_t dots[4] = {};
      if constexpr (kParts == 1) {
        mma_s8(dots, w, b);
        add_group(dots, tile, unit, scale[0], offset);
      } else {
        mma_s8_k16(dots, w[0], w[1], b[0]);
        add_group(dots, tile, unit, scale[0], offset);
        for (int32_t& dot : dots) dot = 0;
        mma_s8_k16(dots, w[2], w[3], b[1]);
        add_group(dots, tile, unit, scale[1], offset);
      }
    }
  }
};

// The format by its index in kFormats: nvcc's host side cannot name a kernel whose parameter is a struct.
template <int kFormat, int kTiles>
FERRUM_KERNEL(32 * kLinearWarps)
void quant_linear(const QuantLinearArgs a) {
  constexpr QuantFormat kF = kFormats[kFormat].format;
  constexpr int kTokens = 8 * kTiles, kResults = kTileRows * kTokens, kThreads = 32 * kLinearWarps;
  constexpr int kPer = (kResults + kThreads - 1) / kThreads;
  const Shared<float> of_segments = shared_memory<float>(0, quant_linear_shared(kTiles));
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const BlockOfTokens block = block_of_tokens(a, kTokens);
  if (block.first >= block.end) return;
  const int64_t units = a.columns / kUnit, first_tile_row = int64_t{blockIdx.y} * kTileRows;
  constexpr int kUnitsOfSegment = kSegment / kUnit;
  const int64_t segments = (units + kUnitsOfSegment - 1) / kUnitsOfSegment;
  float results[kPer] = {};
  for (int64_t round = 0; round < segments; round += kLinearWarps) {
    const int64_t begin = (round + warp) * kUnitsOfSegment;
    SegmentSum<kF, kTiles> segment{
        block.matrix.quants, a.x, a.columns, blockIdx.y * units, block.first, block.end, lane / 4, lane % 4, {}};
    for (int64_t unit = begin; unit < begin + kUnitsOfSegment && unit < units; ++unit) segment.add_unit(unit);
    for (int tile = 0; tile < kTiles; ++tile) {
      for (int i = 0; i < 4; ++i) {
        const int row = segment.g + 8 * (i / 2), token = 8 * tile + 2 * segment.t + i % 2;
        of_segments[warp * kResults + row * kTokens + token] = segment.sums[tile][i];
      }
    }
    __syncthreads();
    for (int e = 0; e < kPer; ++e) {
      const int result = thread + e * kThreads;
      for (int s = 0; s < kLinearWarps && round + s < segments && result < kResults; ++s) {
        results[e] += of_segments[s * kResults + result];
      }
    }
    __syncthreads();
  }
  for (int e = 0; e < kPer; ++e) {
    const int result = thread + e * kThreads;
    const int64_t row = first_tile_row + result / kTokens, token = block.first + result % kTokens;
    if (result >= kResults || row >= a.rows || token >= block.end) continue;
    a.y.data[token * a.y.stride + row] =
        block.matrix.bias != nullptr ? results[e] + block.matrix.bias[row] : results[e];
  }
}

template <int... kIndex>
LinearKernels make_linear_kernels(std::integer_sequence<int, kIndex...>) {
  return {{"quantize", quantize},
          {"float_linear", float_linear},
          {{{"quant_linear", quant_linear<kIndex, kTokenTiles[0]>},
            {"quant_linear", quant_linear<kIndex, kTokenTiles[1]>}}...}};
}
inline const LinearKernels& linear_kernels() {
  static const LinearKernels kernels = make_linear_kernels(std::make_integer_sequence<int, kNumFormats>{});
  return kernels;
}

}  // namespace ferrum::cuda::FERRUM_CUDA_TARGET
