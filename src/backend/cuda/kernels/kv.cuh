#pragma once

#include "backend/cuda/kernels/kv.h"
#include "backend/cuda/kernels/math.cuh"

namespace ferrum::cuda::FERRUM_CUDA_TARGET {

// Row of a slot and head, counted in rows of head_dim elements (and in scales).
FERRUM_DEVICE int64_t kv_row(const KvPointers& kv, int64_t slot, int head) {
  return (slot / kv.block_size * kv.kv_heads + head) * kv.block_size + slot % kv.block_size;
}

FERRUM_DEVICE float load_kv(const void* cache, DType dtype, int64_t index) {
  switch (dtype) {
    case DType::kF16: return f16_to_float(static_cast<const uint16_t*>(cache)[index]);
    case DType::kBF16: return bf16_to_float(static_cast<const uint16_t*>(cache)[index]);
    case DType::kI8: return static_cast<float>(static_cast<const int8_t*>(cache)[index]);
    default: return static_cast<const float*>(cache)[index];
  }
}
// Integers are stored as x * inverse, rounded; `inverse` is not used otherwise.
FERRUM_DEVICE void store_kv(void* cache, DType dtype, int64_t index, float x, float inverse) {
  switch (dtype) {
    case DType::kF16: static_cast<uint16_t*>(cache)[index] = float_to_f16(x); break;
    case DType::kBF16: static_cast<uint16_t*>(cache)[index] = float_to_bf16(x); break;
    case DType::kI8: static_cast<int8_t*>(cache)[index] = static_cast<int8_t>(rintf(x * inverse)); break;
    default: static_cast<float*>(cache)[index] = x; break;
  }
}

// A head of a token on its way into the cache (or back into q).
struct Head {
  const float* x;
  const float* norm;     // null = no norm
  const float* cos_sin;  // of the token
  int rope_dim;
  bool interleaved;
  float factor;  // of the norm
};

FERRUM_DEVICE float normed(const Head& h, int i) { return h.norm != nullptr ? h.x[i] * h.factor * h.norm[i] : h.x[i]; }

struct Pair {
  int first, second;  // elements; equal for one that does not rotate
  float a, b;
};
// Pair number i of the rope_dim / 2 that rotate, or a single element behind them.
FERRUM_DEVICE Pair rotated(const Head& h, int i) {
  const int half = h.rope_dim / 2;
  if (i >= half) return {i + half, i + half, normed(h, i + half), 0.0f};
  const int first = h.interleaved ? 2 * i : i, second = h.interleaved ? 2 * i + 1 : i + half;
  const float c = h.cos_sin[i], s = h.cos_sin[half + i], a = normed(h, first), b = normed(h, second);
  return {first, second, fmaf(a, c, -(b * s)), fmaf(a, s, b * c)};
}

FERRUM_DEVICE float norm_factor(const Head& h, int head_dim, float eps, int lane) {
  if (h.norm == nullptr) return 1.0f;
  float squares = 0;
  for (int i = lane; i < head_dim; i += 32) squares = fmaf(h.x[i], h.x[i], squares);
  return 1.0f / sqrtf(warp_sum(squares) / static_cast<float>(head_dim) + eps);
}

// Symmetric quantisation as ops/kv_dtype.h has it: the scale of a head, and the largest magnitude in it, in all lanes.
struct HeadScale {
  float scale, largest;
};
FERRUM_DEVICE HeadScale head_scale(const Head& h, int head_dim, int lane) {
  float largest = 0, faults = 0;  // a sum, since a maximum forgets NaN
  for (int i = lane; i < head_dim - h.rope_dim / 2; i += 32) {
    const Pair p = rotated(h, i);
    largest = fmaxf(largest, fmaxf(fabsf(p.a), fabsf(p.b)));
    faults += (p.a - p.a) + (p.b - p.b);
  }
  largest = warp_max(largest);
  faults = warp_sum(faults);  // 0, or NaN
  if (faults != faults) return {faults, 0.0f};
  if (largest < 1e-30f) return {0.0f, 0.0f};
  return {largest / 127.0f, largest};
}

FERRUM_DEVICE void store_head(const Head& h, const KvPointers& kv, void* cache, float* scales, int64_t row, int lane) {
  float inverse = 0;
  if (scales != nullptr) {
    const HeadScale s = head_scale(h, kv.head_dim, lane);
    if (lane == 0) scales[row] = s.scale;
    inverse = s.largest > 0 ? 127.0f / s.largest : 0.0f;
  }
  for (int i = lane; i < kv.head_dim - h.rope_dim / 2; i += 32) {
    const Pair p = rotated(h, i);
    // Where there is no scale worth multiplying with, integers are 0 whatever the element is.
    const bool zero = scales != nullptr && inverse == 0.0f;
    store_kv(cache, kv.dtype, row * kv.head_dim + p.first, zero ? 0.0f : p.a, inverse);
    if (p.second != p.first) store_kv(cache, kv.dtype, row * kv.head_dim + p.second, zero ? 0.0f : p.b, inverse);
  }
}

FERRUM_KERNEL(32 * kStoreWarps) void store(const StoreArgs a) {
  const int64_t token = blockIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int head = static_cast<int>(blockIdx.y) * kStoreWarps + static_cast<int>(threadIdx.x) / 32;
  const int kv_heads = a.kv.kv_heads, head_dim = a.kv.head_dim;
  if (head >= a.heads + 2 * kv_heads) return;
  const float* cos_sin = a.cos_sin.data + token * a.cos_sin.stride;
  if (head < a.heads) {
    float* q = a.q.data + token * a.q.stride + int64_t{head} * head_dim;
    Head h{q, a.q_norm, cos_sin, a.rope_dim, a.interleaved, 1.0f};
    h.factor = norm_factor(h, head_dim, a.eps, lane);
    for (int i = lane; i < head_dim - a.rope_dim / 2; i += 32) {
      const Pair p = rotated(h, i);  // whose elements no other lane reads
      q[p.first] = p.a;
      if (p.second != p.first) q[p.second] = p.b;
    }
    return;
  }
  const int kv_head = (head - a.heads) % kv_heads;
  const int64_t row = kv_row(a.kv, a.slots[token], kv_head);
  if (head < a.heads + kv_heads) {
    Head h{a.k.data + token * a.k.stride + int64_t{kv_head} * head_dim,
           a.k_norm,
           cos_sin,
           a.rope_dim,
           a.interleaved,
           1.0f};
    h.factor = norm_factor(h, head_dim, a.eps, lane);
    store_head(h, a.kv, a.kv.k, a.kv.k_scale, row, lane);
  } else {
    const Head h{a.v.data + token * a.v.stride + int64_t{kv_head} * head_dim, nullptr, cos_sin, 0, false, 1.0f};
    store_head(h, a.kv, a.kv.v, a.kv.v_scale, row, lane);
  }
}

// What a row has gathered: values are relative to the largest score.
struct RowState {
  float largest, sum;
};
// The span's state and values come to those that are there; the first span's are taken as they are.
template <int kElements>
FERRUM_DEVICE void merge(RowState& state, float (&values)[kElements], const RowState& span,
                         const float (&of_span)[kElements], bool first) {
  const float largest = first ? span.largest : fmaxf(state.largest, span.largest);
  const float keep = first ? 0.0f : exp_of(state.largest - largest),
              gain = first ? 1.0f : exp_of(span.largest - largest);
  state.sum = first ? span.sum : fmaf(span.sum, gain, state.sum * keep);
  for (int e = 0; e < kElements; ++e) values[e] = first ? of_span[e] : fmaf(of_span[e], gain, values[e] * keep);
  state.largest = largest;
}

// The token of a block, and what it sees.
struct Seen {
  const int32_t* table;
  int64_t first, last;  // positions
};
FERRUM_DEVICE Seen seen_by(const AttentionArgs& a, int64_t token) {
  const int64_t last = a.positions[token];
  const int64_t first = a.window > 0 && last >= a.window ? last - a.window + 1 : 0;
  return {a.block_tables + int64_t{a.token_rows[token]} * a.max_blocks, first, last};
}

// Rows of K or V of positions [begin, begin + kSpanTile) that are seen, times their scales, as floats in shared memory.
FERRUM_DEVICE void load_tile(const AttentionArgs& a, const Seen& seen, int64_t begin, int kv_head, const void* cache,
                             const float* scales, Shared<float> tile) {
  const int head_dim = a.kv.head_dim, stride = head_dim | 1;
  for (int i = static_cast<int>(threadIdx.x); i < kSpanTile * head_dim; i += kAttentionThreads) {
    const int64_t position = begin + i / head_dim;
    if (position < seen.first || position > seen.last) continue;
    const int64_t block = seen.table[position / a.kv.block_size];
    const int64_t row = kv_row(a.kv, block * a.kv.block_size + position % a.kv.block_size, kv_head);
    const float x = load_kv(cache, a.kv.dtype, row * head_dim + i % head_dim);
    tile[i / head_dim * stride + i % head_dim] = scales != nullptr ? scales[row] * x : x;
  }
}

// Positions of a span that a token sees, relative to the span's begin.
struct Range {
  int begin, end;
};
FERRUM_DEVICE Range range_in_span(const Seen& seen, int64_t span) {
  const int64_t begin = span * kSpan;
  return {static_cast<int>(seen.first > begin ? seen.first - begin : 0),
          static_cast<int>(seen.last - begin < kSpan ? seen.last - begin + 1 : kSpan)};
}

// A block's part of attention(): some heads of one token that share a KV head. An element of a head is a thread's.
template <int kRows>
struct AttentionBlock {
  static constexpr int kPer = kMaxHeadDim / kAttentionThreads;  // elements of a thread
  using Values = float[kRows][kPer];

  const AttentionArgs& a;
  int64_t token;
  Seen seen;
  int kv_head, first_head, heads;
  Shared<float> q, scores, tile;

  FERRUM_DEVICE static int thread() { return static_cast<int>(threadIdx.x); }
  FERRUM_DEVICE static int element(int e) { return thread() + e * kAttentionThreads; }
  FERRUM_DEVICE static bool meets(int tile_begin, const Range& range) {
    return tile_begin < range.end && tile_begin + kSpanTile > range.begin;
  }

  FERRUM_DEVICE void load_queries() const {
    for (int i = thread(); i < kRows * a.kv.head_dim; i += kAttentionThreads) {
      const int head = first_head + min(i / a.kv.head_dim, heads - 1);  // places beyond the group repeat its last head
      q[i] = a.q.data[token * a.q.stride + int64_t{head} * a.kv.head_dim + i % a.kv.head_dim];
    }
  }

  // scores[r][p] = scale * q[r] . k[p]; one chain of fused operations over the head. A thread takes a position.
  FERRUM_DEVICE void score_tile(int begin, const Range& range) const {
    const int head_dim = a.kv.head_dim, stride = head_dim | 1, position = thread() % kSpanTile;
    if (begin + position < range.begin || begin + position >= range.end) return;
    for (int r = thread() / kSpanTile; r < kRows; r += kAttentionThreads / kSpanTile) {
      float dot = 0;
      for (int d = 0; d < head_dim; ++d) dot = fmaf(q[r * head_dim + d], tile[position * stride + d], dot);
      scores[r * kSpan + begin + position] = dot * a.scale;
    }
  }
  FERRUM_DEVICE void score_span(int64_t span, const Range& range) const {
    for (int p = 0; p < kSpan; p += kSpanTile) {
      if (!meets(p, range)) continue;
      __syncthreads();
      load_tile(a, seen, span * kSpan + p, kv_head, a.kv.k, a.kv.k_scale, tile);
      __syncthreads();
      score_tile(p, range);
    }
    __syncthreads();
  }

  // Scores become weights, relative to the largest of their row. By one warp.
  FERRUM_DEVICE RowState weigh(int r, const Range& range) const {
    const int lane = thread() % 32;
    float largest = -INFINITY, sum = 0;
    for (int p = lane; p < kSpan; p += 32) {
      if (p >= range.begin && p < range.end) largest = fmaxf(largest, scores[r * kSpan + p]);
    }
    largest = warp_max(largest);
    for (int p = lane; p < kSpan; p += 32) {
      if (p < range.begin || p >= range.end) continue;
      const float weight = exp_of(scores[r * kSpan + p] - largest);
      scores[r * kSpan + p] = weight;
      sum += weight;
    }
    return {largest, warp_sum(sum)};
  }
  // A warp takes a row; through the tile's memory all come to know all states.
  FERRUM_DEVICE void weigh_rows(const Range& range, RowState (&states)[kRows]) const {
    for (int r = thread() / 32; r < kRows; r += kAttentionThreads / 32) {
      const RowState s = weigh(r, range);
      if (thread() % 32 == 0) {
        tile[2 * r] = s.largest;
        tile[2 * r + 1] = s.sum;
      }
    }
    __syncthreads();
    for (int r = 0; r < kRows; ++r) states[r] = {tile[2 * r], tile[2 * r + 1]};
  }

  // values[r] = sum over the positions of weight * v, one chain of fused operations per element.
  FERRUM_DEVICE void add_tile(int begin, const Range& range, Values& values) const {
    for (int p = max(begin, range.begin); p < min(begin + kSpanTile, range.end); ++p) {
      for (int e = 0; e < kPer; ++e) {
        if (element(e) >= a.kv.head_dim) continue;
        const float v = tile[(p - begin) * (a.kv.head_dim | 1) + element(e)];
        for (int r = 0; r < kRows; ++r) values[r][e] = fmaf(scores[r * kSpan + p], v, values[r][e]);
      }
    }
  }
  FERRUM_DEVICE void add_span(int64_t span, const Range& range, Values& values) const {
    for (int p = 0; p < kSpan; p += kSpanTile) {
      if (!meets(p, range)) continue;
      __syncthreads();
      load_tile(a, seen, span * kSpan + p, kv_head, a.kv.v, a.kv.v_scale, tile);
      __syncthreads();
      add_tile(p, range, values);
    }
    __syncthreads();
  }

  // The result, or what merge_spans() makes it of.
  FERRUM_DEVICE void write(const RowState (&states)[kRows], const Values& values) const {
    const bool apart = a.partial_sums != nullptr;
    for (int r = 0; r < kRows && r < heads; ++r) {
      const int64_t row = token * a.heads + first_head + r, partial = row * a.spans + blockIdx.z;
      float* to = apart ? a.partial_values + partial * a.kv.head_dim
                        : a.out.data + token * a.out.stride + int64_t{first_head + r} * a.kv.head_dim;
      if (apart && thread() == 0) {
        a.partial_sums[2 * partial] = states[r].largest;
        a.partial_sums[2 * partial + 1] = states[r].sum;
      }
      for (int e = 0; e < kPer; ++e) {
        if (element(e) < a.kv.head_dim) to[element(e)] = apart ? values[r][e] : values[r][e] / states[r].sum;
      }
    }
  }
};

template <int kRows>
FERRUM_KERNEL(kAttentionThreads)
void attention(const AttentionArgs a) {
  const int group = a.heads / a.kv.kv_heads, parts = (group + kRows - 1) / kRows;
  const int kv_head = static_cast<int>(blockIdx.y) / parts;
  const int first_head = kv_head * group + static_cast<int>(blockIdx.y) % parts * kRows;
  const AttentionShared at = attention_shared(kRows, a.kv.head_dim);
  const Shared<float> shared = shared_memory<float>(0, at.end);
  const int64_t token = blockIdx.x;
  const AttentionBlock<kRows> block{a,
                                    token,
                                    seen_by(a, token),
                                    kv_head,
                                    first_head,
                                    min((kv_head + 1) * group - first_head, kRows),
                                    shared + at.q,
                                    shared + at.scores,
                                    shared + at.tile};
  int64_t span = block.seen.first / kSpan, last = block.seen.last / kSpan;
  if (a.partial_sums != nullptr) {
    if (static_cast<int64_t>(blockIdx.z) < span || static_cast<int64_t>(blockIdx.z) > last) return;
    span = last = blockIdx.z;
  }
  block.load_queries();
  RowState states[kRows] = {};
  float values[kRows][AttentionBlock<kRows>::kPer] = {};
  for (bool first = true; span <= last; ++span, first = false) {
    const Range range = range_in_span(block.seen, span);
    RowState of_span[kRows];
    float sums[kRows][AttentionBlock<kRows>::kPer] = {};
    block.score_span(span, range);
    block.weigh_rows(range, of_span);
    block.add_span(span, range, sums);
    for (int r = 0; r < kRows; ++r) merge(states[r], values[r], of_span[r], sums[r], first);
  }
  block.write(states, values);
}

// What the loop over spans of attention() does, for spans that were computed apart.
FERRUM_KERNEL(kAttentionThreads) void merge_spans(const AttentionArgs a) {
  const int64_t token = blockIdx.x, head = blockIdx.y;
  const int head_dim = a.kv.head_dim;
  const Seen seen = seen_by(a, token);
  for (int d = static_cast<int>(threadIdx.x); d < head_dim; d += kAttentionThreads) {
    RowState state{};
    float value[1] = {};
    for (int64_t span = seen.first / kSpan; span <= seen.last / kSpan; ++span) {
      const int64_t partial = (token * a.heads + head) * a.spans + span;
      const float of_span[1] = {a.partial_values[partial * head_dim + d]};
      merge(state, value, {a.partial_sums[2 * partial], a.partial_sums[2 * partial + 1]}, of_span,
            span == seen.first / kSpan);
    }
    a.out.data[token * a.out.stride + head * head_dim + d] = value[0] / state.sum;
  }
}

inline const KvKernels& kv_kernels() {
  static const KvKernels kernels{{"store", store},
                                 {{"attention<1>", attention<1>},
                                  {"attention<2>", attention<2>},
                                  {"attention<4>", attention<4>},
                                  {"attention<8>", attention<8>}},
                                 {"merge_spans", merge_spans}};
  return kernels;
}

}  // namespace ferrum::cuda::FERRUM_CUDA_TARGET
