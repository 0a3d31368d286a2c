#include "backend/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/op_checks.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

// Waking the pool costs a few microseconds: elements of simple work that are worth it.
constexpr int64_t kElementsPerPiece = 8192;

std::byte* kv_at(const View& cache, int64_t slot, int64_t head) {
  const int64_t heads = cache.dim(1), block_size = cache.dim(2), head_dim = cache.dim(3);
  const int64_t index = ((slot / block_size * heads + head) * block_size + slot % block_size) * head_dim;
  return static_cast<std::byte*>(cache.data) + bytes_of(cache.dtype, index);
}

}  // namespace

template <typename Body>
void CpuOps::for_rows(int64_t count, int64_t width, const Body& body) {
  const int64_t grain = std::max<int64_t>(1, kElementsPerPiece / std::max<int64_t>(1, width));
  context_.pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) body(row);
  });
}

void CpuOps::embed(ConstView table, ConstView ids, View y) {
  op_checks::embed(table, ids, y);
  const int64_t hidden = table.dim(1);
  const size_t row_bytes = bytes_of(table.dtype, hidden);
  for_rows(y.dim(0), hidden, [&](int64_t t) {
    const auto* row = static_cast<const std::byte*>(table.data) + static_cast<size_t>(ids.as<int32_t>()[t]) * row_bytes;
    dequantize_row(table.dtype, row, y.row<float>(t), hidden);
  });
}

void CpuOps::rms_norm(ConstView x, ConstView weight, float eps, View y) {
  op_checks::rms_norm(x, weight, y);
  for_rows(x.dim(0), x.dim(1), [&](int64_t t) {
    context_.kernels.rms_norm(x.row<float>(t), weight.as<float>(), x.dim(1), eps, y.row<float>(t));
  });
}

void CpuOps::add_rms_norm(View residual, ConstView delta, ConstView weight, float eps, View y) {
  op_checks::same_f32(residual, delta);
  op_checks::rms_norm(residual, weight, y);
  const int64_t n = residual.dim(1);
  for_rows(residual.dim(0), n, [&](int64_t t) {
    context_.kernels.add(residual.row<float>(t), delta.row<float>(t), n);
    context_.kernels.rms_norm(residual.row<float>(t), weight.as<float>(), n, eps, y.row<float>(t));
  });
}

void CpuOps::add(View x, ConstView delta) {
  op_checks::same_f32(x, delta);
  for_rows(x.dim(0), x.dim(1),
           [&](int64_t t) { context_.kernels.add(x.row<float>(t), delta.row<float>(t), x.dim(1)); });
}

void CpuOps::rope_cos_sin(ConstView positions, ConstView inv_freq, float magnitude, View cos_sin) {
  op_checks::rope_cos_sin(positions, inv_freq, cos_sin);
  const int64_t n = inv_freq.dim(0);
  for_rows(positions.dim(0), 64 * n, [&](int64_t t) {
    float* row = cos_sin.row<float>(t);
    for (int64_t i = 0; i < n; ++i) {
      const float angle = static_cast<float>(positions.as<int32_t>()[t]) * inv_freq.as<float>()[i];
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * magnitude);
      row[n + i] = static_cast<float>(std::sin(static_cast<double>(angle)) * magnitude);
    }
  });
}

void CpuOps::norm_rope_store(const QkvArgs& a) {
  op_checks::norm_rope_store(a);
  const Kernels& kernels = context_.kernels;
  const auto prepare = [&](float* head, const ConstView& norm, int64_t t) {
    if (norm.rank > 0) kernels.rms_norm(head, norm.as<float>(), a.head_dim, a.norm_eps, head);
    kernels.rotate(head, a.cos_sin.row<float>(t), a.rope_dim, a.layout);
  };
  for_rows(a.q.dim(0), a.q.dim(1) + a.k.dim(1), [&](int64_t t) {
    for (int64_t h = 0; h < a.num_heads; ++h) prepare(a.q.row<float>(t) + h * a.head_dim, a.q_norm, t);
    const int64_t slot = a.slots.as<int32_t>()[t];
    for (int64_t h = 0; h < a.num_kv_heads; ++h) {
      float* k = a.k.row<float>(t) + h * a.head_dim;
      prepare(k, a.k_norm, t);
      kernels.store_kv(a.kv.k.dtype, k, a.head_dim, kv_at(a.kv.k, slot, h));
      kernels.store_kv(a.kv.v.dtype, a.v.row<float>(t) + h * a.head_dim, a.head_dim, kv_at(a.kv.v, slot, h));
    }
  });
}

void CpuOps::attention(const AttentionPlan& plan, ConstView q, const KvLayer& kv, View out) {
  op_checks::attention(plan, q, kv, out);
  FERRUM_CHECK(kv.k.dtype == kv.v.dtype, "K and V of different types");
  const DeviceBatch& batch = *plan.batch;
  AttentionTask shared;
  shared.heads = plan.num_heads / plan.num_kv_heads;
  shared.head_dim = plan.head_dim;
  shared.dtype = kv.k.dtype;
  shared.block_stride = int64_t{plan.num_kv_heads} * plan.block_size * plan.head_dim;
  shared.block_size = plan.block_size;
  shared.scale = plan.scale;
  const int64_t tasks = int64_t{batch.num_tokens} * plan.num_kv_heads;
  // A task touches at most this many elements; small ones are taken several at a time.
  int64_t positions = int64_t{batch.max_blocks} * plan.block_size;
  if (plan.sliding_window > 0) positions = std::min<int64_t>(positions, plan.sliding_window);
  const int64_t elements = std::max<int64_t>(1, 2 * positions * shared.heads * plan.head_dim);
  context_.pool.parallel_for(
      tasks, std::max<int64_t>(1, kElementsPerPiece / elements), [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          // The last tokens of a prompt see the most: starting with them lets the threads end together.
          const int64_t t = batch.num_tokens - 1 - i / plan.num_kv_heads, kv_head = i % plan.num_kv_heads;
          const int64_t column = kv_head * shared.heads * plan.head_dim;
          AttentionTask task = shared;
          task.q = q.row<float>(t) + column;
          task.out = out.row<float>(t) + column;
          task.k = kv_at(kv.k, 0, kv_head);
          task.v = kv_at(kv.v, 0, kv_head);
          task.table = batch.block_tables.row<int32_t>(batch.token_rows.as<int32_t>()[t]);
          task.last = batch.positions.as<int32_t>()[t];
          task.first = plan.sliding_window > 0 ? std::max<int64_t>(0, task.last - plan.sliding_window + 1) : 0;
          context_.kernels.attention(task);
        }
      });
}

void CpuOps::silu_mul(ConstView gate_up, View y) {
  op_checks::silu_mul(gate_up, y);
  const int64_t n = y.dim(1);
  for_rows(y.dim(0), n, [&](int64_t t) {
    const float* gate = gate_up.row<float>(t);
    context_.kernels.silu_mul(gate, gate + n, n, y.row<float>(t));
  });
}

void CpuOps::gather_rows(ConstView x, ConstView rows, View y) {
  op_checks::gather_rows(x, rows, y);
  for_rows(y.dim(0), y.dim(1), [&](int64_t i) {
    std::memcpy(y.row<float>(i), x.row<float>(rows.as<int32_t>()[i]), static_cast<size_t>(y.dim(1)) * sizeof(float));
  });
}

}  // namespace ferrum
