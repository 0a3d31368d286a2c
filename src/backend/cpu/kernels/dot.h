// Weights times activations, for one format and any number of tokens.
//
// The order of float arithmetic of one result, whatever the tile it is computed in: for each 256 elements, the four
// chunks' integer dot products (16 lanes each) times their groups' scales are added as (0 + 1) + (2 + 3) and then to
// the 16 running sums; offsets are subtracted from those; at the end the lanes are added in the tree of sum().
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/formats.h"
#include "backend/cpu/kernels/plain.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

template <bool kSigned>
struct Operand {
  using Type = Bytes;
  FERRUM_INLINE Bytes prepare(Bytes q) { return q; }
  FERRUM_INLINE I32 dot(Bytes w, Bytes x) { return dot_unsigned(w, x); }
};
template <>
struct Operand<true> {
  using Type = SignedBytes;
  FERRUM_INLINE SignedBytes prepare(Bytes q) { return with_sign(q); }
  FERRUM_INLINE I32 dot(SignedBytes w, Bytes x) { return dot_signed(w, x); }
};

template <int kChunk, typename Format>
FERRUM_INLINE F32 chunk_product(const typename Operand<Format::kSigned>::Type& w, const ActBlock& x, F32 scales) {
  const I32 dot = Operand<Format::kSigned>::dot(w, load64(x.q + 64 * kChunk));
  if constexpr (Format::kGroups == 8)
    return mul(to_float(dot), spread2<kChunk>(scales));
  else
    return mul(to_float(dot), spread4<kChunk>(scales));
}

// Adds the products of 256 weights with kTokens tokens to acc.
template <typename Format, int kTokens>
FERRUM_INLINE void accumulate(const std::byte* block, const ActBlock* x, int64_t x_stride, F32* acc) {
  using Op = Operand<Format::kSigned>;
  Unpacked w;
  Format::unpack(block, w);
  const typename Op::Type q[4] = {Op::prepare(w.q[0]), Op::prepare(w.q[1]), Op::prepare(w.q[2]), Op::prepare(w.q[3])};
  for (int t = 0; t < kTokens; ++t) {
    const ActBlock& a = x[t * x_stride];
    const F32 scales = mul(w.scale, Format::kGroups == 8 ? load8(a.d) : load8_twice(a.d));
    const F32 first = add(chunk_product<0, Format>(q[0], a, scales), chunk_product<1, Format>(q[1], a, scales));
    const F32 second = add(chunk_product<2, Format>(q[2], a, scales), chunk_product<3, Format>(q[3], a, scales));
    acc[t] = add(acc[t], add(first, second));
    if constexpr (!Format::kSigned) {
      acc[t] = sub(acc[t], mul(w.min, Format::kGroups == 8 ? load8(a.sum32) : load(a.sum16)));
    }
  }
}

template <typename Format, int kTokens>
FERRUM_INLINE void dot_row(const DotTask& task, int64_t row, int64_t token) {
  using Block = typename Format::Block;
  constexpr int blocks_per_step = 256 / kElementsOf<Block>;
  const std::byte* w = task.weights + static_cast<size_t>(row) * task.row_bytes;
  const ActBlock* x = static_cast<const ActBlock*>(task.x) + token * task.x_stride;
  F32 acc[kTokens];
  for (int t = 0; t < kTokens; ++t) acc[t] = zero();

  const int64_t whole = task.columns / 256;
  // The last up to seven small blocks are filled up with zeros; the activations are padded likewise.
  const int64_t rest = task.columns % 256 / kElementsOf<Block>;
  std::byte padded[blocks_per_step * sizeof(Block)];
  for (int64_t b = 0; b < whole + (rest > 0 ? 1 : 0); ++b, w += sizeof padded, ++x) {
    const std::byte* blocks = w;
    if (b == whole) {
      std::memset(padded, 0, sizeof padded);
      std::memcpy(padded, w, static_cast<size_t>(rest) * sizeof(Block));
      blocks = padded;
    }
    accumulate<Format, kTokens>(blocks, x, task.x_stride, acc);
  }
  for (int t = 0; t < kTokens; ++t) {
    const float dot = sum(acc[t]);
    task.y[(token + t) * task.y_stride + row] = task.bias != nullptr ? dot + task.bias[row] : dot;
  }
}

// Rows outside, so that a row is unpacked once per tile of tokens while it is in the cache.
template <typename Format>
void dot(const DotTask& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    int64_t token = 0;
    for (; token + kTokenTile <= task.tokens; token += kTokenTile) dot_row<Format, kTokenTile>(task, row, token);
    if constexpr (kTokenTile > 4) {
      for (; token + 4 <= task.tokens; token += 4) dot_row<Format, 4>(task, row, token);
    }
    for (; token + 2 <= task.tokens; token += 2) dot_row<Format, 2>(task, row, token);
    for (; token < task.tokens; ++token) dot_row<Format, 1>(task, row, token);
  }
}

// Vector v of a row goes to running sum v % 4; they are added as (0 + 1) + (2 + 3).
template <typename Plain, int kTokens>
FERRUM_INLINE void plain_dot_row(const DotTask& task, int64_t row, int64_t token) {
  const std::byte* w = task.weights + static_cast<size_t>(row) * task.row_bytes;
  const float* x = static_cast<const float*>(task.x) + token * task.x_stride;
  F32 acc[kTokens][4];
  for (int t = 0; t < kTokens; ++t) {
    for (int i = 0; i < 4; ++i) acc[t][i] = zero();
  }
  int64_t at = 0;
  for (; at + 64 <= task.columns; at += 64) {
    for (int i = 0; i < 4; ++i) {
      const F32 weights = Plain::load16(w + static_cast<size_t>(at + 16 * i) * Plain::kBytes);
      for (int t = 0; t < kTokens; ++t) {
        acc[t][i] = add(acc[t][i], mul(weights, load(x + t * task.x_stride + at + 16 * i)));
      }
    }
  }
  for (int i = 0; i < 4 && at < task.columns; ++i, at += 16) {
    const int64_t n = task.columns - at < 16 ? task.columns - at : 16;
    const F32 weights = load_some<Plain>(w + static_cast<size_t>(at) * Plain::kBytes, n);
    for (int t = 0; t < kTokens; ++t) {
      acc[t][i] = add(acc[t][i], mul(weights, load_some<PlainF32>(x + t * task.x_stride + at, n)));
    }
  }
  for (int t = 0; t < kTokens; ++t) {
    const float dot = sum(add(add(acc[t][0], acc[t][1]), add(acc[t][2], acc[t][3])));
    task.y[(token + t) * task.y_stride + row] = task.bias != nullptr ? dot + task.bias[row] : dot;
  }
}

template <typename Plain>
void plain_dot(const DotTask& task) {
  for (int64_t row = 0; row < task.rows; ++row) {
    int64_t token = 0;
    for (; token + 4 <= task.tokens; token += 4) plain_dot_row<Plain, 4>(task, row, token);
    for (; token < task.tokens; ++token) plain_dot_row<Plain, 1>(task, row, token);
  }
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
