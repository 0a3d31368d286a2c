// Storing into and attending to the paged KV cache.
//
// A cache is [num_blocks, kv_heads, block_size, head_dim], position after position, K and V alike; scales of INT8 are
// [num_blocks, kv_heads, block_size].
#pragma once

#include <algorithm>
#include <cstdint>

#include "backend/cuda/kernels/rows.h"
#include "backend/cuda/launch.h"
#include "tensor/dtype.h"

namespace ferrum::cuda {

struct KvPointers {
  void* k = nullptr;
  void* v = nullptr;
  float* k_scale = nullptr;  // null where the type has none
  float* v_scale = nullptr;
  DType dtype = DType::kF16;
  int kv_heads = 0;
  int block_size = 0;
  int head_dim = 0;
};

// Ops::norm_rope_store(). A warp per head of a token: first those of q, then of k, then of v.
struct StoreArgs {
  Rows q;
  ConstRows k, v;
  const float* q_norm = nullptr;  // null = no norm
  const float* k_norm = nullptr;
  float eps = 0;
  ConstRows cos_sin;
  bool interleaved = false;
  int rope_dim = 0;
  int heads = 0;
  KvPointers kv;
  const int32_t* slots = nullptr;
};

inline constexpr int kStoreWarps = 4;
inline LaunchShape store_shape(int64_t tokens, const StoreArgs& a) {
  return {{static_cast<uint32_t>(tokens), static_cast<uint32_t>(ceil_div(a.heads + 2 * a.kv.kv_heads, kStoreWarps))},
          {32 * kStoreWarps}};
}

// Ops::attention(). A row is one head of one token. Positions are cut into spans of kSpan, aligned to multiples of it;
// within a span weights are exponentials relative to its largest score; spans are merged in ascending order. So it
// changes no bit whether one block walks over all spans of a row or each has a block and a second kernel merges.
inline constexpr int kSpan = 512;
inline constexpr int kSpanTile = 32;  // positions whose K or V are in shared memory at a time
inline constexpr int kAttentionThreads = 128;
inline constexpr int kMaxHeadDim = 2 * kAttentionThreads;
inline constexpr int kMaxAttentionRows = 8;  // heads of a block: they share the loads of K and V

struct AttentionArgs {
  ConstRows q;
  Rows out;
  KvPointers kv;
  const int32_t* positions = nullptr;
  const int32_t* token_rows = nullptr;
  const int32_t* block_tables = nullptr;
  int max_blocks = 0;
  int heads = 0;
  int window = 0;  // 0 = none
  float scale = 1;
  // Of the spans of each row, where spans have blocks of their own: unmerged values [tokens, heads, spans, head_dim],
  // and [tokens, heads, spans, 2]: largest score and sum of weights. Null = merge at once.
  float* partial_values = nullptr;
  float* partial_sums = nullptr;
  int spans = 0;
};

// Tokens times spans that a step may have for its spans to be computed apart. More of them keep a device busy anyway.
inline constexpr int64_t kMaxPartials = 2048;

inline int attention_spans(int64_t max_positions) { return static_cast<int>(ceil_div(max_positions, kSpan)); }
inline bool split_spans(int64_t tokens, int spans) { return spans > 1 && tokens * spans <= kMaxPartials; }

// Heads that a block computes: a power of two, so that few variants of the kernel are enough.
inline int attention_rows(int heads_per_kv_head) {
  int rows = 1;
  while (rows < heads_per_kv_head && rows < kMaxAttentionRows) rows *= 2;
  return rows;
}

// Parts of a block's shared memory, in floats.
struct AttentionShared {
  uint32_t q, scores, tile, end;
};
constexpr AttentionShared attention_shared(int rows, int head_dim) {
  const auto r = static_cast<uint32_t>(rows), d = static_cast<uint32_t>(head_dim);
  const uint32_t scores = r * d, tile = scores + r * kSpan;
  // Rows of a tile lie an odd number of banks apart, since neighbouring threads read neighbouring rows.
  return {0, scores, tile, tile + kSpanTile * (d | 1)};
}

inline LaunchShape attention_shape(int64_t tokens, const AttentionArgs& a) {
  const int group = a.heads / a.kv.kv_heads, rows = attention_rows(group);
  const auto head_blocks = static_cast<uint32_t>(a.kv.kv_heads * ceil_div(group, rows));
  return {{static_cast<uint32_t>(tokens), head_blocks, a.partial_sums != nullptr ? static_cast<uint32_t>(a.spans) : 1},
          {kAttentionThreads},
          attention_shared(rows, a.kv.head_dim).end * static_cast<uint32_t>(sizeof(float))};
}
inline LaunchShape merge_shape(int64_t tokens, const AttentionArgs& a) {
  return {{static_cast<uint32_t>(tokens), static_cast<uint32_t>(a.heads)}, {kAttentionThreads}};
}

struct KvKernels {
  Kernel<StoreArgs> store;
  Kernel<AttentionArgs> attention[4];  // for 1, 2, 4 and 8 heads per block
  Kernel<AttentionArgs> merge_spans;

  const Kernel<AttentionArgs>& attention_of(int rows) const {
    int index = 0;
    while ((1 << index) < rows) ++index;
    return attention[index];
  }
};

}  // namespace ferrum::cuda
