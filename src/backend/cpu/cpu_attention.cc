// Cuts attention into tasks for the thread pool: by tokens and KV heads, and where these are few, by chunks of the
// context as well. kernels/attention.h does the arithmetic and promises the same bits for every cut.
#include <algorithm>

#include "backend/cpu/cpu_ops.h"
#include "backend/op_checks.h"
#include "ops/kv_dtype.h"

namespace ferrum {
namespace {

constexpr int64_t kRowsPerTask = 48;     // heads of tokens for which a task reads the KV once
constexpr int64_t kTasksPerThread = 4;   // with fewer, threads would wait for the last task
constexpr int64_t kPartsPerThread = 16;  // computed before they are merged

struct Cut {
  const AttentionPlan& plan;
  const ConstView& q;
  const KvLayer& kv;
  const View& out;

  int heads() const { return plan.num_heads / plan.num_kv_heads; }

  // Tokens [token, token + count) of one sequence.
  AttentionTask task(int64_t token, int64_t count, int64_t kv_head) const {
    const DeviceBatch& batch = *plan.batch;
    const int64_t column = kv_head * heads() * plan.head_dim;
    const int64_t rows_before = kv_head * plan.block_size;  // of K or V in a block
    AttentionTask task;
    task.q = q.row<float>(token) + column;
    task.out = out.row<float>(token) + column;
    task.q_stride = q.row_stride;
    task.out_stride = out.row_stride;
    task.positions = batch.positions.as<int32_t>() + token;
    task.tokens = static_cast<int>(count);
    task.heads = heads();
    task.head_dim = plan.head_dim;
    task.window = plan.sliding_window;
    task.scale = plan.scale;
    task.dtype = kv.k.dtype;
    const size_t before = bytes_of(kv.k.dtype, rows_before * plan.head_dim);
    task.k = static_cast<const std::byte*>(kv.k.data) + before;
    task.v = static_cast<const std::byte*>(kv.v.data) + before;
    if (has_kv_scales(kv.k.dtype)) {
      task.k_scale = kv.k_scale.as<float>() + rows_before;
      task.v_scale = kv.v_scale.as<float>() + rows_before;
    }
    task.block_stride = int64_t{plan.num_kv_heads} * plan.block_size * plan.head_dim;
    task.block_size = plan.block_size;
    task.table = batch.block_tables.row<int32_t>(batch.token_rows.as<int32_t>()[token]);
    return task;
  }

  int64_t first_chunk(int64_t token) const {
    const int64_t position = plan.batch->positions.as<int32_t>()[token];
    const bool hidden = plan.sliding_window > 0 && position >= plan.sliding_window;
    return (hidden ? position - plan.sliding_window + 1 : 0) / kAttentionChunk;
  }
  int64_t last_chunk(int64_t token) const { return plan.batch->positions.as<int32_t>()[token] / kAttentionChunk; }
};

}  // namespace

// Whole contexts: a task is a run of tokens and a KV head.
static void attend_whole(CpuContext& context, const Cut& cut) {
  const AttentionPlan& plan = cut.plan;
  const DeviceBatch& batch = *plan.batch;
  const int64_t tokens = batch.num_tokens, kv_heads = plan.num_kv_heads;
  const int64_t most = std::max<int64_t>(1, kRowsPerTask / cut.heads());
  const int64_t run = std::clamp<int64_t>(tokens * kv_heads / (2 * kTasksPerThread * context.pool.size()), 1, most);
  const int64_t runs = (tokens + run - 1) / run;
  // A task touches at most this many elements; small ones are taken several at a time.
  int64_t positions = int64_t{batch.max_blocks} * plan.block_size;
  if (plan.sliding_window > 0) positions = std::min<int64_t>(positions, plan.sliding_window);
  const int64_t elements = std::max<int64_t>(1, 2 * positions * run * cut.heads() * plan.head_dim);
  const int64_t grain = std::max<int64_t>(1, kElementsPerPiece / elements);
  const int32_t* sequence = batch.token_rows.as<int32_t>();
  context.pool.parallel_for(runs * kv_heads, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      // The last tokens of a prompt see the most: starting with them lets the threads end together.
      const int64_t first = (runs - 1 - i / kv_heads) * run, past = std::min(tokens, first + run);
      for (int64_t t = first, next; t < past; t = next) {
        for (next = t + 1; next < past && sequence[next] == sequence[t];) ++next;
        context.kernels.attention.attend(cut.task(t, next - t, i % kv_heads));
      }
    }
  });
}

// The chunks of a context on different threads, some at a time, then merged in order; for few tokens.
static void attend_in_parts(CpuContext& context, const Cut& cut, int64_t chunks, int64_t parts, float* scratch) {
  const int64_t kv_heads = cut.plan.num_kv_heads, units = cut.plan.batch->num_tokens * kv_heads;
  const int64_t heads = cut.heads(), values = heads * cut.plan.head_dim;
  float* states = scratch + parts * (values + 2 * heads);
  const auto part = [&](int64_t unit, int64_t chunk, int64_t slot) {
    AttentionTask task = cut.task(unit / kv_heads, 1, unit % kv_heads);
    task.out = scratch + slot * (values + 2 * heads);
    task.stats = task.out + values;
    task.chunk = chunk;
    return task;
  };
  const int64_t wave = parts / units;  // chunks of each unit at a time
  for (int64_t at = 0; at < chunks; at += wave) {
    const auto for_parts = [&](int64_t begin, int64_t end, const auto& body) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t unit = i / wave, token = unit / kv_heads, chunk = cut.first_chunk(token) + at + i % wave;
        if (chunk > cut.last_chunk(token)) continue;
        AttentionTask task = part(unit, chunk, i);
        task.more = i + 1 < end && (i + 1) / wave == unit;
        body(unit, task);
      }
    };
    // Several in a row for a thread, which fetches the next one while it computes.
    const int64_t grain = std::max<int64_t>(1, units * wave / (kTasksPerThread * context.pool.size()));
    context.pool.parallel_for(units * wave, grain, [&](int64_t begin, int64_t end) {
      for_parts(begin, end, [&](int64_t, const AttentionTask& task) { context.kernels.attention.attend(task); });
    });
    for_parts(0, units * wave, [&](int64_t unit, const AttentionTask& task) {
      context.kernels.attention.merge(cut.task(unit / kv_heads, 1, unit % kv_heads), task, states + unit * 2 * heads);
    });
  }
}

void CpuOps::attention(const AttentionPlan& plan, ConstView q, const KvLayer& kv, View out) {
  op_checks::attention(plan, q, kv, out);
  const Cut cut{plan, q, kv, out};
  const int64_t threads = context_.pool.size(), units = int64_t{plan.batch->num_tokens} * plan.num_kv_heads;
  int64_t chunks = 0;
  for (int64_t t = 0; t < plan.batch->num_tokens; ++t) {
    chunks = std::max(chunks, cut.last_chunk(t) - cut.first_chunk(t) + 1);
  }
  if (threads > 1 && chunks > 1 && units < kTasksPerThread * threads) {
    const int64_t parts = kPartsPerThread * threads;
    const int64_t floats = cut.heads() * (parts * (plan.head_dim + 2) + 2 * units);
    if (reserve_parts(static_cast<size_t>(floats) * sizeof(float))) {
      return attend_in_parts(context_, cut, chunks, parts, static_cast<float*>(parts_.data()));
    }
  }
  attend_whole(context_, cut);
}

// Grown by the first long context: its size depends on the model's heads, not on the context.
bool CpuOps::reserve_parts(size_t bytes) {
  if (parts_.bytes() >= bytes) return true;
  Result<Buffer> buffer = Buffer::host(bytes);
  if (!buffer.is_ok()) return false;
  parts_ = std::move(buffer).value();
  return true;
}

}  // namespace ferrum
