// The loops of attention within one chunk of positions; attention.h has the arithmetic in words.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/exp.h"
#include "backend/cpu/kernels/plain.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kPositions = 16;  // of a tile of scores
constexpr int kMaxRows = kManyRegisters ? 12 : 4;
constexpr int kAhead = 8;  // positions by which V is fetched early
// Vectors per row in flight: rows times vectors are the accumulators, which have to fit the registers.
constexpr int vectors_of(int rows) { return kManyRegisters ? (rows > 4 ? 2 : 4) : 4 / rows; }

struct AttentionRow {
  const float* q;
  float* out;
  int64_t first, last;  // visible positions
};

struct Merge {
  float keep, gain;
};

// Where a chunk's visible positions are. Positions count from the chunk's beginning.
struct Chunk {
  int64_t begin;
  int lanes;                                     // of K
  int first, last;                               // visible to some row
  const std::byte* k[kAttentionChunk];           // element 0; from first rounded down to a multiple of lanes
  const std::byte* v[kAttentionChunk + kAhead];  // the end repeats the last one
  alignas(64) float k_scale[kAttentionChunk];
  alignas(64) float v_scale[kAttentionChunk];
};

template <typename Kv>
constexpr bool kScaled = Kv::kBytes == 1;

template <typename Kv>
FERRUM_INLINE void locate(const AttentionTask& task, int64_t begin, int64_t first, int64_t last, Chunk& chunk) {
  const int64_t block_size = task.block_size, n = task.head_dim;
  // The largest power of two up to 16 that divides the block size (kv_layout.h).
  const int64_t lanes = (block_size | 16) & -(block_size | 16);
  chunk.begin = begin;
  chunk.lanes = static_cast<int>(lanes);
  chunk.first = static_cast<int>(first > begin ? first - begin : 0);
  chunk.last = static_cast<int>(last - begin < kAttentionChunk ? last - begin : kAttentionChunk - 1);
  const int64_t end = begin + chunk.last + 1;
  for (int64_t p = begin + chunk.first / lanes * lanes; p < end;) {
    const int64_t at = p % block_size, left = block_size - at < end - p ? block_size - at : end - p;
    const int64_t base = int64_t{task.table[p / block_size]} * task.block_stride;
    const auto j = static_cast<int>(p - begin);
    for (int64_t i = 0; i < left; ++i) {
      const int64_t lane = (at + i) & (lanes - 1);
      chunk.k[j + i] = task.k + static_cast<size_t>(base + (at + i - lane) * n + lane) * Kv::kBytes;
      chunk.v[j + i] = task.v + static_cast<size_t>(base + (at + i) * n) * Kv::kBytes;
    }
    if constexpr (kScaled<Kv>) {
      const int64_t scales = base / n + at;
      std::memcpy(chunk.k_scale + j, task.k_scale + scales, static_cast<size_t>(left) * sizeof(float));
      std::memcpy(chunk.v_scale + j, task.v_scale + scales, static_cast<size_t>(left) * sizeof(float));
    }
    p += left;
  }
  for (int i = 1; i <= kAhead; ++i) chunk.v[chunk.last + i] = chunk.v[chunk.last];
}

// What kRows rows see of a chunk.
template <int kRows>
struct RowTile {
  int first[kRows], last[kRows];  // by row; last < first where it is nothing
  int some_first, some_last;      // what at least one of them sees
  int common_first, common_last;  // what all of them see
};

// False if none sees anything.
template <int kRows>
FERRUM_INLINE bool look(const Chunk& chunk, const AttentionRow* rows, RowTile<kRows>& see) {
  see.some_first = see.common_last = kAttentionChunk;
  see.some_last = see.common_first = -1;
  for (int r = 0; r < kRows; ++r) {
    const int64_t from = rows[r].first - chunk.begin, to = rows[r].last - chunk.begin;
    const bool some = from < kAttentionChunk && to >= 0;
    const int first = !some ? kAttentionChunk : from > 0 ? static_cast<int>(from) : 0;
    const int last = !some ? -1 : to < kAttentionChunk ? static_cast<int>(to) : kAttentionChunk - 1;
    see.first[r] = first;
    see.last[r] = last;
    see.some_first = first < see.some_first ? first : see.some_first;
    see.some_last = last > see.some_last ? last : see.some_last;
    see.common_first = first > see.common_first ? first : see.common_first;
    see.common_last = last < see.common_last ? last : see.common_last;
  }
  if (see.common_first > see.common_last) {
    see.common_first = see.some_last + 1;
    see.common_last = see.some_last;
  }
  return see.some_first <= see.some_last;
}

// Several tiles at once, from K in 16 lanes. Lanes of positions that a row does not see are masked in weigh().
template <typename Kv, int kRows>
FERRUM_INLINE void score_tiles(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                               const RowTile<kRows>& see, float (*scores)[kAttentionChunk]) {
  constexpr int kTiles = vectors_of(kRows);
  const int last = see.some_last / kPositions;
  const int64_t n = task.head_dim;
  for (int tile = see.some_first / kPositions; tile <= last; tile += kTiles) {
    const std::byte *k[kTiles], *ahead[kTiles];
    for (int i = 0; i < kTiles; ++i) {
      const int at = tile + i < last ? tile + i : last, next = at + kTiles < last ? at + kTiles : last;
      k[i] = chunk.k[at * kPositions];
      ahead[i] = chunk.k[next * kPositions];
    }
    F32 acc[kRows][kTiles];
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kTiles; ++i) acc[r][i] = zero();
    }
    for (int64_t d = 0; d < n; ++d) {
      const size_t at = static_cast<size_t>(d) * kPositions * Kv::kBytes;
      F32 x[kTiles];
      for (int i = 0; i < kTiles; ++i) {
        x[i] = Kv::load16(k[i] + at);
        if (kRows <= 4 && at % 64 == 0) __builtin_prefetch(ahead[i] + at);
      }
      for (int r = 0; r < kRows; ++r) {
        const F32 q = set1(rows[r].q[d]);
        for (int i = 0; i < kTiles; ++i) acc[r][i] = fma(q, x[i], acc[r][i]);
      }
    }
    for (int i = 0; i < kTiles && tile + i <= last; ++i) {
      const int at = (tile + i) * kPositions;
      for (int r = 0; r < kRows; ++r) {
        const F32 dot = kScaled<Kv> ? mul(acc[r][i], load(chunk.k_scale + at)) : acc[r][i];
        store(scores[r] + at, mul(dot, set1(task.scale)));
      }
    }
  }
}

// The same for one row where blocks do not come in tiles of 16: each vector is put together from its pieces.
template <typename Kv>
FERRUM_INLINE void score_pieces(const AttentionTask& task, const Chunk& chunk, const float* q, int first, int last,
                                float* scores) {
  const size_t piece = static_cast<size_t>(chunk.lanes) * Kv::kBytes;
  for (int tile = first / kPositions * kPositions; tile <= last; tile += kPositions) {
    alignas(64) std::byte gathered[kPositions * Kv::kBytes] = {};
    F32 acc = zero();
    for (int64_t d = 0; d < task.head_dim; ++d) {
      for (int j = 0; j < kPositions; j += chunk.lanes) {
        const int p = tile + j;
        if (p + chunk.lanes <= first || p > last) continue;
        std::memcpy(gathered + static_cast<size_t>(j) * Kv::kBytes, chunk.k[p] + static_cast<size_t>(d) * piece, piece);
      }
      acc = fma(set1(q[d]), Kv::load16(gathered), acc);
    }
    if constexpr (kScaled<Kv>) acc = mul(acc, load(chunk.k_scale + tile));
    store(scores + tile, mul(acc, set1(task.scale)));
  }
}

// Turns the scores of first..last into weights relative to the largest one. Those of integer V contain its scales.
template <typename Kv>
FERRUM_INLINE void weigh(const Chunk& chunk, int first, int last, float* scores, float& largest, float& total) {
  const int begin = first / kPositions * kPositions, end = (last / kPositions + 1) * kPositions;
  for (int j = begin; j < first; ++j) scores[j] = -__builtin_inff();
  for (int j = last + 1; j < end; ++j) scores[j] = -__builtin_inff();
  F32 most = set1(-__builtin_inff());
  for (int j = begin; j < end; j += kPositions) most = greater(load(scores + j), most);  // a NaN is passed over here
  float lanes[kPositions];
  store(lanes, most);
  largest = lanes[0];
  for (int l = 1; l < kPositions; ++l) largest = lanes[l] > largest ? lanes[l] : largest;
  F32 running = zero();
  for (int j = begin; j < end; j += kPositions) {
    const F32 weight = exp(sub(load(scores + j), set1(largest)));  // and shows here
    running = add(running, weight);
    store(scores + j, kScaled<Kv> ? mul(weight, load(chunk.v_scale + j)) : weight);
  }
  total = sum(running);
}

// out = out * keep + values * gain, for the first n <= 16.
FERRUM_INLINE void fold(float* out, F32 values, const Merge& merge, int64_t n) {
  if (n == 16) {
    store(out, fma(values, set1(merge.gain), mul(load(out), set1(merge.keep))));
    return;
  }
  float some[16];
  store(some, fma(values, set1(merge.gain), mul(load_some<PlainF32>(out, n), set1(merge.keep))));
  std::memcpy(out, some, static_cast<size_t>(n) * sizeof(float));
}

// kVectors * 16 elements of the values from element `at` on; n < 16 only in a last, single vector.
template <typename Kv, int kRows, int kVectors>
struct Values {
  F32 acc[kRows][kVectors];

  template <bool kRagged>
  FERRUM_INLINE void add(Values& v, const Chunk& chunk, const RowTile<kRows>& see,
                         const float (*weights)[kAttentionChunk], int begin, int end, size_t at, int64_t n) {
    for (int j = begin; j < end; ++j) {
      F32 x[kVectors];
      for (int i = 0; i < kVectors; ++i) {
        const std::byte* p = chunk.v[j] + at + static_cast<size_t>(i) * 16 * Kv::kBytes;
        x[i] = n == 16 ? Kv::load16(p) : load_some<Kv>(p, n);
      }
      if (kRows <= 4 && !kRagged) {
        for (size_t b = 0; b < kVectors * 16 * Kv::kBytes; b += 64) __builtin_prefetch(chunk.v[j + kAhead] + at + b);
      }
      for (int r = 0; r < kRows; ++r) {
        if (kRagged && (j < see.first[r] || j > see.last[r])) continue;  // a weight of 0 would let NaN through
        const F32 w = set1(weights[r][j]);
        for (int i = 0; i < kVectors; ++i) v.acc[r][i] = fma(w, x[i], v.acc[r][i]);
      }
    }
  }
};

template <typename Kv, int kRows, int kVectors>
FERRUM_INLINE void add_some_values(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                                   const RowTile<kRows>& see, const float (*weights)[kAttentionChunk],
                                   const Merge* merges, int64_t element, int64_t n) {
  using V = Values<Kv, kRows, kVectors>;
  const size_t at = static_cast<size_t>(element) * Kv::kBytes;
  V v;
  for (int r = 0; r < kRows; ++r) {
    for (int i = 0; i < kVectors; ++i) v.acc[r][i] = zero();
  }
  V::template add<true>(v, chunk, see, weights, see.some_first, see.common_first, at, n);
  V::template add<false>(v, chunk, see, weights, see.common_first, see.common_last + 1, at, n);
  V::template add<true>(v, chunk, see, weights, see.common_last + 1, see.some_last + 1, at, n);
  for (int r = 0; r < kRows; ++r) {
    if (see.first[r] > see.last[r]) continue;
    for (int i = 0; i < kVectors; ++i) {
      float* out = rows[r].out + element + 16 * i;
      if (task.stats == nullptr) {
        fold(out, v.acc[r][i], merges[r], n);
      } else {
        float some[16];
        store(some, v.acc[r][i]);
        std::memcpy(out, some, static_cast<size_t>(n) * sizeof(float));
      }
    }
  }
}

template <typename Kv, int kRows>
FERRUM_INLINE void add_values(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                              const RowTile<kRows>& see, const float (*weights)[kAttentionChunk], const Merge* merges) {
  constexpr int kVectors = vectors_of(kRows);
  const int64_t n = task.head_dim;
  int64_t i = 0;
  for (; i + 16 * kVectors <= n; i += 16 * kVectors) {
    add_some_values<Kv, kRows, kVectors>(task, chunk, rows, see, weights, merges, i, 16);
  }
  for (; i + 16 <= n; i += 16) add_some_values<Kv, kRows, 1>(task, chunk, rows, see, weights, merges, i, 16);
  if (i < n) add_some_values<Kv, kRows, 1>(task, chunk, rows, see, weights, merges, i, n - i);
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
