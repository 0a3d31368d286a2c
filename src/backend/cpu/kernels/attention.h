// Attention over the paged KV: softmax and weighted sum over chunks of 512 positions, merged in ascending order with a
// running maximum and sum (online softmax: Milakov and Gimelshein 2018; Dao et al. 2022).
//
// A row is one head of one token. What is computed for a row depends on its position and window only:
//   scores   16 positions in 16 lanes, one chain of fused multiply-adds over the head's elements
//   weights  exp(score - largest score of the chunk), summed in 16 lanes
//   values   per element one chain of fused multiply-adds over the chunk's visible positions
//   merging  out = out * keep + values * gain
// How many rows and tiles go through a loop together decides how often a tile of K or V is read and converted, and how
// many chains hide each other's latency; it changes no bit.
#pragma once

#include "backend/cpu/kernels/attention_chunk.h"

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kTaskRows = 48;  // rows that walk the KV together: a chunk of it stays in the second-level cache

struct RowState {
  float largest, total;
};

FERRUM_INLINE void begin_row(const AttentionRow& row, int64_t n, RowState& state) {
  state = {-__builtin_inff(), 0.0f};
  std::memset(row.out, 0, static_cast<size_t>(n) * sizeof(float));
}

// Makes room for a chunk's share: what both sides are multiplied with.
FERRUM_INLINE Merge merge_state(RowState& state, float largest, float total) {
  const float now = largest > state.largest ? largest : state.largest;
  float keep[16], gain[16];
  store(keep, exp(set1(state.largest - now)));
  store(gain, exp(set1(largest - now)));
  state = {now, state.total * keep[0] + total * gain[0]};
  return {keep[0], gain[0]};
}

FERRUM_INLINE void finish_row(const AttentionRow& row, int64_t n, const RowState& state) {
  const float inverse = 1.0f / state.total;
  for (int64_t i = 0; i < n; ++i) row.out[i] *= inverse;
}

FERRUM_INLINE AttentionRow row_of(const AttentionTask& task, int row) {
  const int64_t token = row / task.heads, head = int64_t{row % task.heads} * task.head_dim;
  const int64_t position = task.positions[token];
  const bool hidden = task.window > 0 && position >= task.window;
  return {task.q + token * task.q_stride + head, task.out + token * task.out_stride + head,
          hidden ? position - task.window + 1 : 0, position};
}

// Scores, weights and values of kRows rows in one chunk.
template <typename Kv, int kRows>
FERRUM_INLINE void attend_rows(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                               RowState* states) {
  alignas(64) float weights[kRows][kAttentionChunk];
  RowTile<kRows> tile;
  if (!look(chunk, rows, tile)) return;
  if (chunk.lanes == kPositions) {
    score_tiles<Kv, kRows>(task, chunk, rows, tile, weights);
  } else {
    for (int r = 0; r < kRows; ++r) score_pieces<Kv>(task, chunk, rows[r].q, tile.first[r], tile.last[r], weights[r]);
  }
  Merge merges[kRows];
  for (int r = 0; r < kRows; ++r) {
    merges[r] = {1.0f, 0.0f};
    if (tile.first[r] > tile.last[r]) continue;
    float largest, total;
    weigh<Kv>(chunk, tile.first[r], tile.last[r], weights[r], largest, total);
    merges[r] = merge_state(states[r], largest, total);
  }
  add_values<Kv, kRows>(task, chunk, rows, tile, weights, merges);
}

template <typename Kv, int kRows = kSharedRows>
FERRUM_INLINE void attend_in_chunk(const AttentionTask& task, const Chunk& chunk, const AttentionRow* rows,
                                   RowState* states, int count) {
  int r = 0;
  for (; r + kRows <= count; r += kRows) attend_rows<Kv, kRows>(task, chunk, rows + r, states + r);
  if constexpr (kRows > 1) {
    constexpr int kFewer = kRows > 4 ? 4 : kRows / 2;
    attend_in_chunk<Kv, kFewer>(task, chunk, rows + r, states + r, count - r);
  }
}

// `count` rows from `row` on.
template <typename Kv>
static void attend_some(const AttentionTask& task, int row, int count) {
  AttentionRow rows[kTaskRows];
  RowState states[kTaskRows];
  int64_t first = INT64_MAX, last = 0;
  for (int r = 0; r < count; ++r) {
    rows[r] = row_of(task, row + r);
    begin_row(rows[r], task.head_dim, states[r]);
    first = rows[r].first < first ? rows[r].first : first;
    last = rows[r].last > last ? rows[r].last : last;
  }
  Chunk chunk;
  if (task.stats != nullptr) {
    locate<Kv>(task, task.chunk * kAttentionChunk, first, last, task.more ? last : 0, chunk);
    attend_in_chunk<Kv>(task, chunk, rows, states, count);
    for (int r = 0; r < count; ++r) {
      task.stats[2 * (row + r)] = states[r].largest;
      task.stats[2 * (row + r) + 1] = states[r].total;
    }
    return;
  }
  for (int64_t begin = first / kAttentionChunk * kAttentionChunk; begin <= last; begin += kAttentionChunk) {
    locate<Kv>(task, begin, first, last, last, chunk);
    attend_in_chunk<Kv>(task, chunk, rows, states, count);
  }
  for (int r = 0; r < count; ++r) finish_row(rows[r], task.head_dim, states[r]);
}

template <typename Kv>
static void attend(const AttentionTask& task) {
  const int rows = task.tokens * task.heads;
  for (int row = 0; row < rows; row += kTaskRows) {
    attend_some<Kv>(task, row, rows - row < kTaskRows ? rows - row : kTaskRows);
  }
}

void attention(const AttentionTask& task) {
  switch (task.dtype) {
    case DType::kF16: attend<PlainF16>(task); break;
    case DType::kBF16: attend<PlainBF16>(task); break;
    case DType::kI8: attend<PlainI8>(task); break;
    default: attend<PlainF32>(task); break;
  }
}

void merge_attention(const AttentionTask& token, const AttentionTask& part, float* state) {
  const int64_t n = token.head_dim;
  for (int h = 0; h < token.heads; ++h) {
    const AttentionRow row = row_of(token, h);
    RowState merged = {state[2 * h], state[2 * h + 1]};
    if (part.chunk == row.first / kAttentionChunk) begin_row(row, n, merged);
    const Merge merge = merge_state(merged, part.stats[2 * h], part.stats[2 * h + 1]);
    const float* values = part.out + h * n;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) fold(row.out + i, load(values + i), merge, 16);
    if (i < n) fold(row.out + i, load_some<PlainF32>(values + i, n - i), merge, n - i);
    if (part.chunk == row.last / kAttentionChunk) finish_row(row, n, merged);
    state[2 * h] = merged.largest;
    state[2 * h + 1] = merged.total;
  }
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
