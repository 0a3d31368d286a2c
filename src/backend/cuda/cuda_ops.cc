#include "backend/cuda/cuda_ops.h"

#include "backend/op_checks.h"
#include "ops/kv_dtype.h"

namespace ferrum::cuda {
namespace {

constexpr auto kOnDevice = op_checks::Indices::kOnDevice;

Rows rows_of(const View& v) { return {v.as<float>(), v.row_stride}; }
ConstRows rows_of(const ConstView& v) { return {v.as<float>(), v.row_stride}; }

KvPointers pointers_of(const KvLayer& kv) {
  KvPointers p;
  p.k = kv.k.data;
  p.v = kv.v.data;
  if (has_kv_scales(kv.k.dtype)) {
    p.k_scale = kv.k_scale.as<float>();
    p.v_scale = kv.v_scale.as<float>();
  }
  p.dtype = kv.k.dtype;
  p.kv_heads = static_cast<int>(kv.k.dim(1));
  p.block_size = static_cast<int>(kv.k.dim(2));
  p.head_dim = static_cast<int>(kv.k.dim(3));
  return p;
}

}  // namespace

void CudaOps::embed(ConstView table, ConstView ids, View y) {
  op_checks::embed(table, ids, y, kOnDevice);
  const auto row_bytes = static_cast<int64_t>(bytes_of(table.dtype, table.dim(1)));
  queue_.launch(queue_.kernels().rows.embed, elements_shape(y.dim(0), y.dim(1)),
                {table.data, table.dtype, row_bytes, ids.as<int32_t>(), rows_of(y), y.dim(1)});
}

void CudaOps::rms_norm(ConstView x, ConstView weight, float eps, View y) {
  op_checks::rms_norm(x, weight, y);
  const Rows read_only{const_cast<float*>(x.as<float>()), x.row_stride};
  queue_.launch(queue_.kernels().rows.rms_norm, row_shape(x.dim(0)),
                {read_only, {}, weight.as<float>(), rows_of(y), x.dim(1), eps});
}

void CudaOps::add_rms_norm(View residual, ConstView delta, ConstView weight, float eps, View y) {
  op_checks::same_f32(residual, delta);
  op_checks::rms_norm(residual, weight, y);
  queue_.launch(queue_.kernels().rows.rms_norm, row_shape(y.dim(0)),
                {rows_of(residual), rows_of(delta), weight.as<float>(), rows_of(y), y.dim(1), eps});
}

void CudaOps::add(View x, ConstView delta) {
  op_checks::same_f32(x, delta);
  queue_.launch(queue_.kernels().rows.add, elements_shape(x.dim(0), x.dim(1)),
                {rows_of(x), rows_of(delta), nullptr, x.dim(1)});
}

void CudaOps::add_scaled(View x, ConstView delta, ConstView scale) {
  op_checks::add_scaled(x, delta, scale);
  queue_.launch(queue_.kernels().rows.add, elements_shape(x.dim(0), x.dim(1)),
                {rows_of(x), rows_of(delta), scale.as<float>(), x.dim(1)});
}

void CudaOps::rope_cos_sin(ConstView positions, ConstView inv_freq, float magnitude, View cos_sin) {
  op_checks::rope_cos_sin(positions, inv_freq, cos_sin);
  queue_.launch(queue_.kernels().rows.rope, elements_shape(cos_sin.dim(0), inv_freq.dim(0)),
                {positions.as<int32_t>(), inv_freq.as<float>(), magnitude, rows_of(cos_sin), inv_freq.dim(0)});
}

void CudaOps::silu_mul(ConstView gate_up, View y) {
  op_checks::silu_mul(gate_up, y);
  queue_.launch(queue_.kernels().rows.silu_mul, elements_shape(y.dim(0), y.dim(1)),
                {rows_of(gate_up), rows_of(y), y.dim(1)});
}

void CudaOps::gather_rows(ConstView x, ConstView rows, View y) {
  op_checks::gather_rows(x, rows, y, kOnDevice);
  queue_.launch(queue_.kernels().rows.gather, elements_shape(y.dim(0), y.dim(1)),
                {rows_of(x), rows.as<int32_t>(), rows_of(y), y.dim(1)});
}

void CudaOps::norm_rope_store(const QkvArgs& a) {
  op_checks::norm_rope_store(a, kOnDevice);
  StoreArgs args;
  args.q = rows_of(a.q);
  args.k = rows_of(ConstView(a.k));
  args.v = rows_of(a.v);
  args.q_norm = a.q_norm.rank > 0 ? a.q_norm.as<float>() : nullptr;
  args.k_norm = a.k_norm.rank > 0 ? a.k_norm.as<float>() : nullptr;
  args.eps = a.norm_eps;
  args.cos_sin = rows_of(a.cos_sin);
  args.interleaved = a.layout == RopeLayout::kInterleaved;
  args.rope_dim = a.rope_dim;
  args.heads = a.num_heads;
  args.kv = pointers_of(a.kv);
  args.slots = a.slots.as<int32_t>();
  queue_.launch(queue_.kernels().kv.store, store_shape(a.q.dim(0), args), args);
}

void CudaOps::attention(const AttentionPlan& plan, ConstView q, const KvLayer& kv, View out) {
  op_checks::attention(plan, q, kv, out, kOnDevice);
  if (plan.head_dim > kMaxHeadDim) {
    return queue_.note(unsupported("backend 'cuda' cannot attend with heads of " + std::to_string(plan.head_dim) +
                                   " elements; at most " + std::to_string(kMaxHeadDim)));
  }
  const DeviceBatch& batch = *plan.batch;
  AttentionArgs args;
  args.q = rows_of(q);
  args.out = rows_of(out);
  args.kv = pointers_of(kv);
  args.positions = batch.positions.as<int32_t>();
  args.token_rows = batch.token_rows.as<int32_t>();
  args.block_tables = batch.block_tables.as<int32_t>();
  args.max_blocks = batch.max_blocks;
  args.heads = plan.num_heads;
  args.window = plan.sliding_window;
  args.scale = plan.scale;
  args.spans = attention_spans(int64_t{batch.max_blocks} * plan.block_size);
  const bool apart = split_spans(batch.num_tokens, args.spans);
  if (apart) queue_.note(make_partials(args));
  const KvKernels& kernels = queue_.kernels().kv;
  const int rows = attention_rows(plan.num_heads / plan.num_kv_heads);
  queue_.launch(kernels.attention_of(rows), attention_shape(batch.num_tokens, args), args);
  if (apart) queue_.launch(kernels.merge_spans, merge_shape(batch.num_tokens, args), args);
}

Status CudaOps::make_partials(AttentionArgs& args) {
  const auto rows = static_cast<size_t>(kMaxPartials * args.heads),
             values = rows * static_cast<size_t>(args.kv.head_dim);
  const size_t bytes = (values + 2 * rows) * sizeof(float);
  if (partials_.bytes() < bytes) {
    FERRUM_RETURN_IF_ERROR(queue_.device().synchronize());
    FERRUM_ASSIGN_OR_RETURN(partials_, queue_.device().allocate(bytes));
  }
  args.partial_values = static_cast<float*>(partials_.data());
  args.partial_sums = args.partial_values + values;
  return Status::ok();
}

void CudaOps::route(const RouteArgs& a) {
  op_checks::route(a);
  ExpertRouteArgs args;
  args.spec = a.spec;
  args.logits = rows_of(a.logits);
  args.bias = a.bias.rank > 0 ? a.bias.as<float>() : nullptr;
  args.ids = a.out.ids.as<int32_t>();
  args.ids_stride = a.out.ids.row_stride;
  args.weights = rows_of(a.out.weights);
  args.shared = a.out.shared.rank > 0 ? a.out.shared.as<float>() : nullptr;
  args.load = a.load.as<int64_t>();
  args.tokens = a.logits.dim(0);
  queue_.launch(queue_.kernels().experts.route, route_shape(args), args);
}

}  // namespace ferrum::cuda
