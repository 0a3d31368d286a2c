#include "backend/op_checks.h"

#include "base/check.h"
#include "ops/kv_dtype.h"

namespace ferrum::op_checks {
namespace {

void is_matrix(const ConstView& v, DType dtype, int64_t rows, int64_t cols, const char* what) {
  FERRUM_CHECK(v.rank == 2 && v.dtype == dtype && v.dim(0) == rows && v.dim(1) == cols,
               std::string(what) + " is " + describe(v) + ", expected [" + std::to_string(rows) + ", " +
                   std::to_string(cols) + "] " + std::string(to_string(dtype)));
}

void is_vector(const ConstView& v, DType dtype, int64_t n, const char* what) {
  FERRUM_CHECK(v.rank == 1 && v.dtype == dtype && v.dim(0) == n, std::string(what) + " is " + describe(v) +
                                                                     ", expected [" + std::to_string(n) + "] " +
                                                                     std::string(to_string(dtype)));
}

void indices_below(const ConstView& indices, int64_t limit, const char* what) {
  for (int64_t i = 0; i < indices.dim(0); ++i) {
    const int32_t index = indices.as<int32_t>()[i];
    FERRUM_CHECK(index >= 0 && index < limit,
                 std::string(what) + " " + std::to_string(index) + " is not in [0, " + std::to_string(limit) + ")");
  }
}

void is_cache(const View& v, const View& scale, int64_t heads, int64_t block_size, int64_t head_dim) {
  FERRUM_CHECK(
      v.rank == 4 && is_kv_dtype(v.dtype) && v.dim(1) == heads && v.dim(2) == block_size && v.dim(3) == head_dim,
      "KV cache is " + describe(v));
  if (!has_kv_scales(v.dtype)) return;
  FERRUM_CHECK(scale.rank == 3 && scale.dtype == DType::kF32 && scale.dim(0) == v.dim(0) && scale.dim(1) == heads &&
                   scale.dim(2) == block_size,
               "scales of the KV cache are " + describe(scale));
}

void is_cache(const KvLayer& kv, int64_t heads, int64_t block_size, int64_t head_dim) {
  FERRUM_CHECK(kv.k.dtype == kv.v.dtype && kv.k.dim(0) == kv.v.dim(0), "K and V of different types or sizes");
  is_cache(kv.k, kv.k_scale, heads, block_size, head_dim);
  is_cache(kv.v, kv.v_scale, heads, block_size, head_dim);
}

}  // namespace

void embed(const ConstView& table, const ConstView& ids, const View& y, Indices where) {
  FERRUM_CHECK(table.rank == 2, "embedding table is " + describe(table));
  is_vector(ids, DType::kI32, y.dim(0), "ids");
  is_matrix(y, DType::kF32, ids.dim(0), table.dim(1), "y");
  if (where == Indices::kOnHost) indices_below(ids, table.dim(0), "token id");
}

void rms_norm(const ConstView& x, const ConstView& weight, const View& y) {
  same_f32(x, y);
  is_vector(weight, DType::kF32, x.dim(1), "norm weight");
}

void same_f32(const ConstView& a, const ConstView& b) {
  FERRUM_CHECK(a.rank == 2 && a.dtype == DType::kF32, "expected a matrix of F32, not " + describe(a));
  is_matrix(b, DType::kF32, a.dim(0), a.dim(1), "second operand");
}

void rope_cos_sin(const ConstView& positions, const ConstView& inv_freq, const View& cos_sin) {
  is_vector(positions, DType::kI32, cos_sin.dim(0), "positions");
  is_vector(inv_freq, DType::kF32, cos_sin.dim(1) / 2, "inv_freq");
  is_matrix(cos_sin, DType::kF32, positions.dim(0), 2 * inv_freq.dim(0), "cos_sin");
}

void norm_rope_store(const QkvArgs& a, Indices where) {
  const int64_t tokens = a.q.dim(0);
  is_matrix(a.q, DType::kF32, tokens, int64_t{a.num_heads} * a.head_dim, "q");
  is_matrix(a.k, DType::kF32, tokens, int64_t{a.num_kv_heads} * a.head_dim, "k");
  is_matrix(a.v, DType::kF32, tokens, int64_t{a.num_kv_heads} * a.head_dim, "v");
  is_matrix(a.cos_sin, DType::kF32, tokens, a.rope_dim, "cos_sin");
  is_vector(a.slots, DType::kI32, tokens, "slots");
  if (a.q_norm.rank > 0) is_vector(a.q_norm, DType::kF32, a.head_dim, "q_norm");
  if (a.k_norm.rank > 0) is_vector(a.k_norm, DType::kF32, a.head_dim, "k_norm");
  FERRUM_CHECK(a.rope_dim % 2 == 0 && a.rope_dim <= a.head_dim, "rope_dim must be even and within the head");
  is_cache(a.kv, a.num_kv_heads, a.block_size, a.head_dim);
  if (where == Indices::kOnHost) indices_below(a.slots, a.kv.k.dim(0) * a.block_size, "slot");
}

void attention(const AttentionPlan& plan, const ConstView& q, const KvLayer& kv, const View& out, Indices where) {
  FERRUM_CHECK(plan.batch != nullptr, "attention without a batch");
  const DeviceBatch& batch = *plan.batch;
  const int64_t width = int64_t{plan.num_heads} * plan.head_dim;
  is_matrix(q, DType::kF32, batch.num_tokens, width, "q");
  is_matrix(out, DType::kF32, batch.num_tokens, width, "out");
  is_vector(batch.positions, DType::kI32, batch.num_tokens, "positions");
  is_vector(batch.token_rows, DType::kI32, batch.num_tokens, "token_rows");
  FERRUM_CHECK(plan.num_kv_heads > 0 && plan.num_heads % plan.num_kv_heads == 0, "heads do not divide");
  is_cache(kv, plan.num_kv_heads, plan.block_size, plan.head_dim);
  if (where == Indices::kOnDevice) return;
  for (int64_t t = 0; t < batch.num_tokens; ++t) {
    const int64_t position = batch.positions.as<int32_t>()[t];
    FERRUM_CHECK(position >= 0 && position < int64_t{batch.max_blocks} * plan.block_size,
                 "position " + std::to_string(position) + " is beyond the block table");
  }
}

void silu_mul(const ConstView& gate_up, const View& y) {
  is_matrix(gate_up, DType::kF32, y.dim(0), 2 * y.dim(1), "gate_up");
  is_matrix(y, DType::kF32, gate_up.dim(0), gate_up.dim(1) / 2, "y");
}

void gather_rows(const ConstView& x, const ConstView& rows, const View& y, Indices where) {
  is_vector(rows, DType::kI32, y.dim(0), "rows");
  is_matrix(y, DType::kF32, rows.dim(0), x.dim(1), "y");
  if (where == Indices::kOnHost) indices_below(rows, x.dim(0), "row");
}

void route(const RouteArgs& a) {
  const int64_t tokens = a.logits.dim(0), experts = a.spec.num_experts;
  is_matrix(a.logits, DType::kF32, tokens, experts + (a.out.shared.rank > 0 ? 1 : 0), "router logits");
  is_matrix(a.out.ids, DType::kI32, tokens, a.spec.top_k, "expert ids");
  is_matrix(a.out.weights, DType::kF32, tokens, a.spec.top_k, "expert weights");
  if (a.bias.rank > 0) is_vector(a.bias, DType::kF32, experts, "router bias");
  if (a.out.shared.rank > 0) is_vector(a.out.shared, DType::kF32, tokens, "weights of the shared expert");
  is_vector(a.load, DType::kI64, experts + 1, "expert load");
}

void add_scaled(const View& x, const ConstView& delta, const ConstView& scale) {
  same_f32(x, delta);
  is_vector(scale, DType::kF32, x.dim(0), "scale");
}

void experts(const ConstView& x, const Routing& routing, const View& y, int64_t hidden, int top_k) {
  const int64_t tokens = x.dim(0);
  is_matrix(x, DType::kF32, tokens, hidden, "x");
  is_matrix(y, DType::kF32, tokens, hidden, "y");
  is_matrix(routing.ids, DType::kI32, tokens, top_k, "expert ids");
  is_matrix(routing.weights, DType::kF32, tokens, top_k, "expert weights");
  FERRUM_CHECK(routing.ids.is_contiguous() && routing.weights.is_contiguous(), "a routing with gaps");
}

void linear(const ConstView& x, const View& y, int64_t in_features, int64_t out_features) {
  is_matrix(x, DType::kF32, y.dim(0), in_features, "x");
  is_matrix(y, DType::kF32, x.dim(0), out_features, "y");
}

}  // namespace ferrum::op_checks
