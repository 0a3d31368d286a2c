// The loops of attention within one chunk of positions; attention.h has the arithmetic in words.
#pragma once

#include "backend/cpu/kernels.h"
#include "backend/cpu/kernels/exp.h"
#include "backend/cpu/kernels/plain.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kPositions = 16;  // of a tile of scores
constexpr int kAheadRuns = 4;   // 8 or 16 KB for heads of 128: less waits for memory, more was slower, too
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

// Where a chunk's visible positions are. Positions count from the chunk's beginning; a run is `lanes` of them, which
// are neighbours in K and in V.
//
// Runs are listed in the order in which they are read: all of K, all of V, the next chunk's K. With each one, the one
// kAheadRuns later is fetched, since processors do not find their way through a block table by themselves.
struct Chunk {
  int64_t begin;
  int lanes, shift;  // of K: 1 << shift
  int first, last;   // visible to some row
  int first_run, num_runs;
  const std::byte* runs[2 * kAttentionChunk + kAheadRuns];
  alignas(64) float k_scale[kAttentionChunk];  // by position
  alignas(64) float v_scale[kAttentionChunk];
};
FERRUM_INLINE const std::byte* const* k_run(const Chunk& chunk, int run) { return chunk.runs + run - chunk.first_run; }
FERRUM_INLINE const std::byte* const* v_run(const Chunk& chunk, int run) { return k_run(chunk, run) + chunk.num_runs; }

template <typename Kv>
constexpr bool kScaled = Kv::kBytes == 1;

// Walks through the block table, run by run.
struct TableWalk {
  int64_t block, at;  // the run begins at position `at` of this entry's block
};
FERRUM_INLINE TableWalk walk_from(const AttentionTask& task, int64_t position) {
  return {position / task.block_size, position % task.block_size};
}
FERRUM_INLINE void walk_on(const AttentionTask& task, int64_t lanes, TableWalk& walk) {
  walk.at += lanes;
  if (walk.at < task.block_size) return;
  walk.at = 0;
  ++walk.block;
}
// The run's first row of this KV head in K and V, counted in rows.
FERRUM_INLINE int64_t row_at(const AttentionTask& task, const TableWalk& walk) {
  return int64_t{task.table[walk.block]} * (task.block_stride / task.head_dim) + walk.at;
}

// `last_fetched`: the last position that is computed after this chunk, of those that another chunk's task does not.
template <typename Kv>
FERRUM_INLINE void locate(const AttentionTask& task, int64_t begin, int64_t first, int64_t last, int64_t last_fetched,
                          Chunk& chunk) {
  const int64_t block_size = task.block_size;
  const size_t row_bytes = static_cast<size_t>(task.head_dim) * Kv::kBytes;
  // The largest power of two up to 16 that divides the block size (kv_layout.h).
  const int64_t lanes = (block_size | 16) & -(block_size | 16);
  chunk.begin = begin;
  chunk.lanes = static_cast<int>(lanes);
  chunk.shift = __builtin_ctz(static_cast<unsigned>(lanes));
  chunk.first = static_cast<int>(first > begin ? first - begin : 0);
  chunk.last = static_cast<int>(last - begin < kAttentionChunk ? last - begin : kAttentionChunk - 1);
  chunk.first_run = chunk.first >> chunk.shift;
  chunk.num_runs = (chunk.last >> chunk.shift) - chunk.first_run + 1;
  TableWalk walk = walk_from(task, begin + chunk.first_run * lanes);
  int i = 0;
  for (; i < chunk.num_runs; ++i, walk_on(task, lanes, walk)) {
    const int64_t row = row_at(task, walk);
    chunk.runs[i] = task.k + static_cast<size_t>(row) * row_bytes;
    chunk.runs[i + chunk.num_runs] = task.v + static_cast<size_t>(row) * row_bytes;
    if constexpr (kScaled<Kv>) {
      const int64_t at = (chunk.first_run + i) * lanes;
      const size_t bytes = static_cast<size_t>(lanes) * sizeof(float);
      std::memcpy(chunk.k_scale + at, task.k_scale + row, bytes);
      std::memcpy(chunk.v_scale + at, task.v_scale + row, bytes);
    }
  }
  const int64_t next = begin + kAttentionChunk;
  walk = walk_from(task, next);
  for (i += chunk.num_runs; i < 2 * chunk.num_runs + kAheadRuns; ++i, walk_on(task, lanes, walk)) {
    const bool more = walk.block * block_size + walk.at <= last_fetched;
    chunk.runs[i] = more ? task.k + static_cast<size_t>(row_at(task, walk)) * row_bytes : chunk.runs[i - 1];
  }
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

// A step of some tiles' scores: element d of K times that of the rows' heads.
template <typename Kv, int kRows, int kTiles>
FERRUM_INLINE void add_products(const AttentionRow* rows, const std::byte* const* k, int64_t d,
                                F32 (&acc)[kRows][kTiles]) {
  F32 x[kTiles];
  for (int i = 0; i < kTiles; ++i) x[i] = Kv::load16(k[i] + static_cast<size_t>(d) * kPositions * Kv::kBytes);
  for (int r = 0; r < kRows; ++r) {
    const F32 q = set1(rows[r].q[d]);
    for (int i = 0; i < kTiles; ++i) acc[r][i] = fma(q, x[i], acc[r][i]);
  }
}

// Several tiles at once, from K in 16 lanes. Lanes of positions that a row does not see are masked in weigh().
template <typename Kv, int kRows>
FERRUM_INLINE void score_tiles(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                               const RowTile<kRows>& see, float (*scores)[kAttentionChunk]) {
  constexpr int kTiles = vectors_of(kRows);
  constexpr int64_t kLine = 64 / (kPositions * Kv::kBytes);  // elements of a tile in a cache line
  const int last = see.some_last / kPositions;
  const int64_t n = task.head_dim;
  for (int tile = see.some_first / kPositions; tile <= last; tile += kTiles) {
    const std::byte *k[kTiles], *ahead[kTiles];
    for (int i = 0; i < kTiles; ++i) {
      const int at = tile + i < last ? tile + i : last;
      k[i] = k_run(chunk, at)[0];
      ahead[i] = k_run(chunk, at)[kAheadRuns];
    }
    F32 acc[kRows][kTiles];
    for (int r = 0; r < kRows; ++r) {
      for (int i = 0; i < kTiles; ++i) acc[r][i] = zero();
    }
    int64_t d = 0;
    for (; d + kLine <= n; d += kLine) {
      const size_t at = static_cast<size_t>(d) * kPositions * Kv::kBytes;
      for (int i = 0; i < kTiles; ++i) __builtin_prefetch(ahead[i] + at, 0, 2);
#pragma GCC unroll 4
      for (int64_t e = 0; e < kLine; ++e) add_products<Kv, kRows, kTiles>(rows, k, d + e, acc);
    }
    for (; d < n; ++d) add_products<Kv, kRows, kTiles>(rows, k, d, acc);
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
        std::memcpy(gathered + static_cast<size_t>(j) * Kv::kBytes,
                    *k_run(chunk, p >> chunk.shift) + static_cast<size_t>(d) * piece, piece);
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

// kVectors * 16 elements of the values from byte `at` of the rows on; n < 16 only in a last, single vector.
struct ValuesPlace {
  size_t at;
  int64_t n;
};

// Adds positions begin .. end - 1 to sums [kRows][kVectors]. Where not all rows see them (kRagged), those that do not
// are passed over: a weight of 0 would let NaN through.
template <typename Kv, int kRows, int kVectors, bool kRagged>
FERRUM_INLINE void add_positions(const AttentionTask& task, const Chunk& chunk, const RowTile<kRows>& see,
                                 const float (*weights)[kAttentionChunk], int begin, int end, ValuesPlace place,
                                 F32 (&sums)[kRows][kVectors]) {
  const size_t row_bytes = static_cast<size_t>(task.head_dim) * Kv::kBytes;
  for (int j = begin; j < end;) {
    const int run = j >> chunk.shift, next = (run + 1) << chunk.shift, stop = next < end ? next : end;
    const size_t before = static_cast<size_t>(j & (chunk.lanes - 1)) * row_bytes + place.at;
    const std::byte *v = v_run(chunk, run)[0] + before, *ahead = v_run(chunk, run)[kAheadRuns] + before;
    for (; j < stop; ++j, v += row_bytes, ahead += row_bytes) {
      F32 x[kVectors];
      for (int i = 0; i < kVectors; ++i) {
        const std::byte* p = v + static_cast<size_t>(i) * 16 * Kv::kBytes;
        x[i] = place.n == 16 ? Kv::load16(p) : load_some<Kv>(p, place.n);
      }
      for (size_t b = 0; b < kVectors * 16 * Kv::kBytes; b += 64) __builtin_prefetch(ahead + b, 0, 2);
      for (int r = 0; r < kRows; ++r) {
        if (kRagged && (j < see.first[r] || j > see.last[r])) continue;
        const F32 w = set1(weights[r][j]);
        for (int i = 0; i < kVectors; ++i) sums[r][i] = fma(w, x[i], sums[r][i]);
      }
    }
  }
}

// In a function of its own: beside it, the compiler would keep the sums of what all rows see in memory, too.
template <typename Kv, int kRows, int kVectors>
__attribute__((noinline)) static void add_ragged(const AttentionTask& task, const Chunk& chunk,
                                                 const RowTile<kRows>& see, const float (*weights)[kAttentionChunk],
                                                 int begin, int end, ValuesPlace place, F32 (&sums)[kRows][kVectors]) {
  add_positions<Kv, kRows, kVectors, true>(task, chunk, see, weights, begin, end, place, sums);
}

template <typename Kv, int kRows, int kVectors>
FERRUM_INLINE void add_some_values(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                                   const RowTile<kRows>& see, const float (*weights)[kAttentionChunk],
                                   const Merge* merges, int64_t element, int64_t n) {
  const ValuesPlace place{static_cast<size_t>(element) * Kv::kBytes, n};
  F32 acc[kRows][kVectors];
  for (auto& row : acc) {
    for (F32& sum : row) sum = zero();
  }
  const auto ragged = [&](int begin, int end) {
    if (begin < end) add_ragged<Kv, kRows, kVectors>(task, chunk, see, weights, begin, end, place, acc);
  };
  ragged(see.some_first, see.common_first);
  add_positions<Kv, kRows, kVectors, false>(task, chunk, see, weights, see.common_first, see.common_last + 1, place,
                                            acc);
  ragged(see.common_last + 1, see.some_last + 1);
  for (int r = 0; r < kRows; ++r) {
    if (see.first[r] > see.last[r]) continue;
    for (int i = 0; i < kVectors; ++i) {
      float* out = rows[r].out + element + 16 * i;
      if (task.stats == nullptr) {
        fold(out, acc[r][i], merges[r], n);
      } else {
        float some[16];
        store(some, acc[r][i]);
        std::memcpy(out, some, static_cast<size_t>(n) * sizeof(float));
      }
    }
  }
}

template <typename Kv, int kRows>
FERRUM_INLINE void add_values(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                              const RowTile<kRows>& see, const float (*weights)[kAttentionChunk], const Merge* merges) {
  constexpr int kVectors = vectors_of(kRows), kWide = kRows <= 2 ? 2 * kVectors : kVectors;
  const int64_t n = task.head_dim;
  int64_t i = 0;
  for (; i + 16 * kWide <= n; i += 16 * kWide) {
    add_some_values<Kv, kRows, kWide>(task, chunk, rows, see, weights, merges, i, 16);
  }
  for (; i + 16 * kVectors <= n; i += 16 * kVectors) {
    add_some_values<Kv, kRows, kVectors>(task, chunk, rows, see, weights, merges, i, 16);
  }
  for (; i + 16 <= n; i += 16) add_some_values<Kv, kRows, 1>(task, chunk, rows, see, weights, merges, i, 16);
  if (i < n) add_some_values<Kv, kRows, 1>(task, chunk, rows, see, weights, merges, i, n - i);
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
