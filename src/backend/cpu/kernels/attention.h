// Attention of one token over its paged KV: tiles of 16 positions, from the first visible one upwards, with a running
// maximum and sum (online softmax: Milakov and Gimelshein 2018; Dao et al. 2022). Tiles are aligned to multiples of 16
// positions, so that the order of arithmetic depends on the token's position and window only, not on the block size.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/exp.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kPositions = 16;  // of a tile
constexpr int kHeadGroup = 8;   // heads that walk the KV together

FERRUM_INLINE float largest_of(const float* x) {
  float largest = x[0];
  for (int i = 1; i < kPositions; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
}

template <typename Plain>
FERRUM_INLINE float dot_head(const float* q, const std::byte* k, int64_t n) {
  F32 acc = zero();
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    acc = add(acc, mul(load(q + i), Plain::load16(k + static_cast<size_t>(i) * Plain::kBytes)));
  }
  if (i < n) {
    acc = add(acc, mul(load_some<PlainF32>(q + i, n - i),
                       load_some<Plain>(k + static_cast<size_t>(i) * Plain::kBytes, n - i)));
  }
  return sum(acc);
}

// out = out * keep + sum of weights[j] * v[j].
template <typename Plain>
FERRUM_INLINE void add_values(float* out, float keep, const float* weights, const std::byte* const* v, int begin,
                              int end, int64_t n) {
  for (int64_t i = 0; i < n; i += 16) {
    const int64_t some = n - i < 16 ? n - i : 16;
    const size_t at = static_cast<size_t>(i) * Plain::kBytes;
    if (some == 16) {
      F32 acc = mul(load(out + i), set1(keep));
      for (int j = begin; j < end; ++j) acc = add(acc, mul(set1(weights[j]), Plain::load16(v[j] + at)));
      store(out + i, acc);
    } else {
      F32 acc = mul(load_some<PlainF32>(out + i, some), set1(keep));
      for (int j = begin; j < end; ++j) acc = add(acc, mul(set1(weights[j]), load_some<Plain>(v[j] + at, some)));
      float last[16];
      store(last, acc);
      std::memcpy(out + i, last, static_cast<size_t>(some) * sizeof(float));
    }
  }
}

// Pointers to positions [tile + begin, tile + end).
struct Tile {
  int begin, end;
  const std::byte* k[kPositions];
  const std::byte* v[kPositions];
};

FERRUM_INLINE void locate(const AttentionTask& task, size_t element, int64_t tile, Tile& at) {
  at.begin = static_cast<int>(task.first > tile ? task.first - tile : 0);
  at.end = static_cast<int>(task.last - tile < kPositions ? task.last - tile + 1 : kPositions);
  for (int j = at.begin; j < at.end; ++j) {
    const int64_t p = tile + j;
    const int64_t index =
        task.table[p / task.block_size] * task.block_stride + p % task.block_size * int64_t{task.head_dim};
    at.k[j] = task.k + static_cast<size_t>(index) * element;
    at.v[j] = task.v + static_cast<size_t>(index) * element;
  }
}

template <typename Plain>
FERRUM_INLINE void attend_group(const AttentionTask& task, const float* q, float* out, int heads) {
  const int64_t n = task.head_dim;
  float largest[kHeadGroup], total[kHeadGroup];
  for (int h = 0; h < heads; ++h) {
    largest[h] = -__builtin_inff();
    total[h] = 0.0f;
  }
  std::memset(out, 0, static_cast<size_t>(heads * n) * sizeof(float));
  Tile at;
  for (int64_t tile = task.first / kPositions * kPositions; tile <= task.last; tile += kPositions) {
    locate(task, Plain::kBytes, tile, at);
    for (int h = 0; h < heads; ++h) {
      float scores[kPositions];
      for (float& score : scores) score = -__builtin_inff();
      for (int j = at.begin; j < at.end; ++j) scores[j] = dot_head<Plain>(q + h * n, at.k[j], n) * task.scale;
      const float tile_largest = largest_of(scores);
      const float now = tile_largest > largest[h] ? tile_largest : largest[h];
      float keep[kPositions];
      store(keep, exp(set1(largest[h] - now)));
      const F32 weights = exp(sub(load(scores), set1(now)));
      store(scores, weights);
      total[h] = total[h] * keep[0] + sum(weights);
      largest[h] = now;
      add_values<Plain>(out + h * n, keep[0], scores, at.v, at.begin, at.end, n);
    }
  }
  for (int h = 0; h < heads; ++h) {
    const float inverse = 1.0f / total[h];
    for (int64_t i = 0; i < n; ++i) out[h * n + i] *= inverse;
  }
}

template <typename Plain>
static void attend(const AttentionTask& task) {
  for (int h = 0; h < task.heads; h += kHeadGroup) {
    const int heads = task.heads - h < kHeadGroup ? task.heads - h : kHeadGroup;
    const int64_t at = int64_t{h} * task.head_dim;
    attend_group<Plain>(task, task.q + at, task.out + at, heads);
  }
}

static void attention(const AttentionTask& task) {
  switch (task.dtype) {
    case DType::kF16: attend<PlainF16>(task); break;
    case DType::kBF16: attend<PlainBF16>(task); break;
    default: attend<PlainF32>(task); break;
  }
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
