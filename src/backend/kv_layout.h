// Where the host backends keep a row of K or V inside a block of the cache.
//
// V: position after position, [block_size][head_dim], because weighted sums run along the head. K: lanes of
// neighbouring positions, [block_size / lanes][head_dim][lanes], because one query is multiplied with many positions at
// once; lanes is the largest power of two up to 16 that divides the block size, so that any block size can be had and a
// multiple of 16 is fast. A block is contiguous either way: copying, swapping and saving one need not know.
#pragma once

#include <cstdint>
#include <numeric>

#include "tensor/view.h"

namespace ferrum {

inline constexpr int kMaxKvLanes = 16;

inline int kv_lanes(int block_size) { return std::gcd(block_size, kMaxKvLanes); }

// Element d of the row lies at first + d * step, counted in elements from the start of the cache.
struct KvPlace {
  int64_t first, step;
};

// For caches [num_blocks, heads, block_size, head_dim].
inline KvPlace v_place(const View& cache, int64_t slot, int64_t head) {
  const int64_t heads = cache.dim(1), block_size = cache.dim(2), head_dim = cache.dim(3);
  return {((slot / block_size * heads + head) * block_size + slot % block_size) * head_dim, 1};
}
inline KvPlace k_place(const View& cache, int64_t slot, int64_t head) {
  const int64_t lanes = kv_lanes(static_cast<int>(cache.dim(2)));
  const int64_t lane = slot % cache.dim(2) % lanes;
  return {v_place(cache, slot - lane, head).first + lane, lanes};
}

// Index of the row's scale in [num_blocks, heads, block_size].
inline int64_t kv_scale_index(const View& scales, int64_t slot, int64_t head) {
  const int64_t block_size = scales.dim(2);
  return (slot / block_size * scales.dim(1) + head) * block_size + slot % block_size;
}

}  // namespace ferrum
