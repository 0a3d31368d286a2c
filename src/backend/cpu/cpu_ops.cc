#include "backend/cpu/cpu_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backend/host_backend.h"
#include "backend/kv_layout.h"
#include "backend/op_checks.h"
#include "ops/kv_dtype.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

std::byte* element_of(const View& cache, int64_t index) {
  return static_cast<std::byte*>(cache.data) + bytes_of(cache.dtype, index);
}

KvStoreTask store_task(const View& cache, const View& scales, KvPlace place, int64_t slot, int64_t head) {
  KvStoreTask task;
  task.dtype = cache.dtype;
  task.n = cache.dim(3);
  task.out = element_of(cache, place.first);
  task.step = place.step;
  if (has_kv_scales(cache.dtype)) task.scale = scales.as<float>() + kv_scale_index(scales, slot, head);
  return task;
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
  const auto store_head = [&](int64_t h, int64_t t) {
    const int64_t slot = a.slots.as<int32_t>()[t];
    float* k = a.k.row<float>(t) + h * a.head_dim;
    prepare(k, a.k_norm, t);
    KvStoreTask task = store_task(a.kv.k, a.kv.k_scale, k_place(a.kv.k, slot, h), slot, h);
    task.x = k;
    kernels.store_kv(task);
    task = store_task(a.kv.v, a.kv.v_scale, v_place(a.kv.v, slot, h), slot, h);
    task.x = a.v.row<float>(t) + h * a.head_dim;
    kernels.store_kv(task);
  };
  // Head by head: the positions of a prompt share the cache lines of K, and meet them in the first-level cache.
  const int64_t tokens = a.q.dim(0), heads = a.num_heads + a.num_kv_heads;
  const int64_t run = std::clamp<int64_t>(tokens, 1, kMaxKvLanes), runs = (tokens + run - 1) / run;
  for_rows(runs * heads, run * a.head_dim, [&](int64_t unit) {
    const int64_t head = unit % heads, first = unit / heads * run, past = std::min(tokens, first + run);
    for (int64_t t = first; t < past; ++t) {
      if (head < a.num_heads) {
        prepare(a.q.row<float>(t) + head * a.head_dim, a.q_norm, t);
      } else {
        store_head(head - a.num_heads, t);
      }
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

void CpuOps::route(const RouteArgs& args) {
  op_checks::route(args);
  // An exponential costs some twenty times what an element of simple work does.
  for_rows(args.logits.dim(0), 20 * args.logits.dim(1), [&](int64_t t) { route_rows(args, t, t + 1); });
  count_load(args);
}

void CpuOps::add_scaled(View x, ConstView delta, ConstView scale) {
  op_checks::add_scaled(x, delta, scale);
  for_rows(x.dim(0), x.dim(1), [&](int64_t t) {
    const float factor = scale.as<float>()[t];
    float* row = x.row<float>(t);
    const float* by = delta.row<float>(t);
    for (int64_t i = 0; i < x.dim(1); ++i) row[i] += factor * by[i];
  });
}

}  // namespace ferrum
