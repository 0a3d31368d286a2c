#include "backend/reference/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "backend/host_backend.h"
#include "backend/kv_layout.h"
#include "backend/op_checks.h"
#include "ops/kv_dtype.h"
#include "quant/quantize.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

// One row of K or V in the cache.
struct KvRow {
  const View& cache;
  KvPlace place;
  float* scale;  // null where the type has none
};

KvRow kv_row(const View& cache, const View& scales, KvPlace place, int64_t slot, int64_t head) {
  float* scale = has_kv_scales(cache.dtype) ? scales.as<float>() + kv_scale_index(scales, slot, head) : nullptr;
  return {cache, place, scale};
}
KvRow k_row(const KvLayer& kv, int64_t slot, int64_t head) {
  return kv_row(kv.k, kv.k_scale, k_place(kv.k, slot, head), slot, head);
}
KvRow v_row(const KvLayer& kv, int64_t slot, int64_t head) {
  return kv_row(kv.v, kv.v_scale, v_place(kv.v, slot, head), slot, head);
}

double load_kv(const KvRow& row, int64_t d) {
  const int64_t index = row.place.first + d * row.place.step;
  switch (row.cache.dtype) {
    case DType::kF16: return f16_to_f32(static_cast<const uint16_t*>(row.cache.data)[index]);
    case DType::kBF16: return bf16_to_f32(static_cast<const uint16_t*>(row.cache.data)[index]);
    case DType::kI8: return static_cast<double>(*row.scale) * static_cast<const int8_t*>(row.cache.data)[index];
    default: return static_cast<const float*>(row.cache.data)[index];
  }
}

// max |x| / 127 in float32; NaN for a row that is not finite, 0 for one that is as good as zero.
float kv_scale(const float* x, int64_t n) {
  float largest = 0;
  for (int64_t d = 0; d < n; ++d) {
    if (!std::isfinite(x[d])) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::abs(x[d]));
  }
  return largest < 1e-30f ? 0 : largest / 127.0f;
}

int8_t to_i8(float x, float largest) { return static_cast<int8_t>(std::nearbyint(x * (127.0f / largest))); }

void store_kv(const KvRow& row, const float* x, int64_t n) {
  float largest = 0;
  if (row.scale != nullptr) {
    *row.scale = kv_scale(x, n);
    for (int64_t d = 0; d < n; ++d) largest = std::max(largest, std::abs(x[d]));
  }
  for (int64_t d = 0; d < n; ++d) {
    const int64_t index = row.place.first + d * row.place.step;
    switch (row.cache.dtype) {
      case DType::kF16: static_cast<uint16_t*>(row.cache.data)[index] = f32_to_f16(x[d]); break;
      case DType::kBF16: static_cast<uint16_t*>(row.cache.data)[index] = f32_to_bf16(x[d]); break;
      case DType::kI8: static_cast<int8_t*>(row.cache.data)[index] = *row.scale > 0 ? to_i8(x[d], largest) : 0; break;
      default: static_cast<float*>(row.cache.data)[index] = x[d]; break;
    }
  }
}

void normalise(const float* x, const float* weight, int64_t n, float eps, float* y) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * x[i];
  const double factor = 1.0 / std::sqrt(sum / static_cast<double>(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(x[i] * factor * weight[i]);
}

void rotate(float* x, const float* cos_sin, int rope_dim, RopeLayout layout) {
  const int half = rope_dim / 2;
  for (int i = 0; i < half; ++i) {
    const int first = layout == RopeLayout::kInterleaved ? 2 * i : i;
    const int second = layout == RopeLayout::kInterleaved ? 2 * i + 1 : i + half;
    const double c = cos_sin[i], s = cos_sin[half + i];
    const double a = x[first], b = x[second];
    x[first] = static_cast<float>(a * c - b * s);
    x[second] = static_cast<float>(a * s + b * c);
  }
}

}  // namespace

void ReferenceOps::embed(ConstView table, ConstView ids, View y) {
  op_checks::embed(table, ids, y);
  const int64_t hidden = table.dim(1);
  const size_t row_bytes = bytes_of(table.dtype, hidden);
  for (int64_t t = 0; t < y.dim(0); ++t) {
    const auto* row = static_cast<const std::byte*>(table.data) + static_cast<size_t>(ids.as<int32_t>()[t]) * row_bytes;
    dequantize_row(table.dtype, row, y.row<float>(t), hidden);
  }
}

void ReferenceOps::rms_norm(ConstView x, ConstView weight, float eps, View y) {
  op_checks::rms_norm(x, weight, y);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    normalise(x.row<float>(t), weight.as<float>(), x.dim(1), eps, y.row<float>(t));
  }
}

void ReferenceOps::add_rms_norm(View residual, ConstView delta, ConstView weight, float eps, View y) {
  add(residual, delta);
  rms_norm(residual, weight, eps, y);
}

void ReferenceOps::add(View x, ConstView delta) {
  op_checks::same_f32(x, delta);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    for (int64_t i = 0; i < x.dim(1); ++i) x.row<float>(t)[i] += delta.row<float>(t)[i];
  }
}

void ReferenceOps::rope_cos_sin(ConstView positions, ConstView inv_freq, float magnitude, View cos_sin) {
  op_checks::rope_cos_sin(positions, inv_freq, cos_sin);
  const int64_t n = inv_freq.dim(0);
  for (int64_t t = 0; t < positions.dim(0); ++t) {
    float* row = cos_sin.row<float>(t);
    for (int64_t i = 0; i < n; ++i) {
      const float angle = static_cast<float>(positions.as<int32_t>()[t]) * inv_freq.as<float>()[i];
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * magnitude);
      row[n + i] = static_cast<float>(std::sin(static_cast<double>(angle)) * magnitude);
    }
  }
}

void ReferenceOps::norm_rope_store(const QkvArgs& a) {
  op_checks::norm_rope_store(a);
  std::vector<float> head(static_cast<size_t>(a.head_dim));
  const auto load_head = [&](const float* x, const ConstView& norm, const float* cos_sin) {
    std::memcpy(head.data(), x, head.size() * sizeof(float));
    if (norm.rank > 0) normalise(head.data(), norm.as<float>(), a.head_dim, a.norm_eps, head.data());
    rotate(head.data(), cos_sin, a.rope_dim, a.layout);
  };
  for (int64_t t = 0; t < a.q.dim(0); ++t) {
    const float* cos_sin = a.cos_sin.row<float>(t);
    for (int64_t h = 0; h < a.num_heads; ++h) {
      float* q = a.q.row<float>(t) + h * a.head_dim;
      load_head(q, a.q_norm, cos_sin);
      std::memcpy(q, head.data(), head.size() * sizeof(float));
    }
    const int64_t slot = a.slots.as<int32_t>()[t];
    for (int64_t h = 0; h < a.num_kv_heads; ++h) {
      load_head(a.k.row<float>(t) + h * a.head_dim, a.k_norm, cos_sin);
      const float* v = a.v.row<float>(t) + h * a.head_dim;
      store_kv(k_row(a.kv, slot, h), head.data(), a.head_dim);
      store_kv(v_row(a.kv, slot, h), v, a.head_dim);
    }
  }
}

void ReferenceOps::attention(const AttentionPlan& plan, ConstView q, const KvLayer& kv, View out) {
  op_checks::attention(plan, q, kv, out);
  const DeviceBatch& batch = *plan.batch;
  const int64_t d_head = plan.head_dim;
  std::vector<double> scores;
  for (int64_t t = 0; t < batch.num_tokens; ++t) {
    const int64_t position = batch.positions.as<int32_t>()[t];
    const int64_t first = plan.sliding_window > 0 ? std::max<int64_t>(0, position - plan.sliding_window + 1) : 0;
    const int32_t* table = batch.block_tables.row<int32_t>(batch.token_rows.as<int32_t>()[t]);
    const auto slot_of = [&](int64_t p) {
      return int64_t{table[p / plan.block_size]} * plan.block_size + p % plan.block_size;
    };
    for (int64_t h = 0; h < plan.num_heads; ++h) {
      const int64_t kv_head = h / (plan.num_heads / plan.num_kv_heads);
      const float* query = q.row<float>(t) + h * d_head;
      scores.clear();
      double largest = -INFINITY;
      for (int64_t p = first; p <= position; ++p) {
        const KvRow k = k_row(kv, slot_of(p), kv_head);
        double dot = 0;
        for (int64_t d = 0; d < d_head; ++d) dot += static_cast<double>(query[d]) * load_kv(k, d);
        scores.push_back(dot * plan.scale);
        largest = std::max(largest, scores.back());
      }
      double total = 0;
      for (double& s : scores) total += s = std::exp(s - largest);
      std::vector<double> sum(static_cast<size_t>(d_head), 0.0);
      for (int64_t p = first; p <= position; ++p) {
        const KvRow v = v_row(kv, slot_of(p), kv_head);
        const double weight = scores[static_cast<size_t>(p - first)] / total;
        for (int64_t d = 0; d < d_head; ++d) sum[static_cast<size_t>(d)] += weight * load_kv(v, d);
      }
      for (int64_t d = 0; d < d_head; ++d) {
        out.row<float>(t)[h * d_head + d] = static_cast<float>(sum[static_cast<size_t>(d)]);
      }
    }
  }
}

void ReferenceOps::silu_mul(ConstView gate_up, View y) {
  op_checks::silu_mul(gate_up, y);
  const int64_t n = y.dim(1);
  for (int64_t t = 0; t < y.dim(0); ++t) {
    for (int64_t i = 0; i < n; ++i) {
      const double gate = gate_up.row<float>(t)[i];
      y.row<float>(t)[i] = static_cast<float>(gate / (1.0 + std::exp(-gate)) * gate_up.row<float>(t)[n + i]);
    }
  }
}

void ReferenceOps::gather_rows(ConstView x, ConstView rows, View y) {
  op_checks::gather_rows(x, rows, y);
  for (int64_t i = 0; i < y.dim(0); ++i) {
    std::memcpy(y.row<float>(i), x.row<float>(rows.as<int32_t>()[i]), static_cast<size_t>(y.dim(1)) * sizeof(float));
  }
}

void ReferenceOps::route(const RouteArgs& args) {
  op_checks::route(args);
  route_rows(args, 0, args.logits.dim(0));
  count_load(args);
}

void ReferenceOps::add_scaled(View x, ConstView delta, ConstView scale) {
  op_checks::add_scaled(x, delta, scale);
  for (int64_t t = 0; t < x.dim(0); ++t) {
    for (int64_t i = 0; i < x.dim(1); ++i) {
      const double sum = x.row<float>(t)[i] + static_cast<double>(scale.as<float>()[t]) * delta.row<float>(t)[i];
      x.row<float>(t)[i] = static_cast<float>(sum);
    }
  }
}

}  // namespace ferrum
