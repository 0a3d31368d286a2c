#include "backend/cuda/cuda_ops.h"

#include "backend/op_checks.h"

namespace ferrum::cuda {
namespace {

constexpr auto kOnDevice = op_checks::Indices::kOnDevice;

Rows rows_of(const View& v) { return {v.as<float>(), v.row_stride}; }
ConstRows rows_of(const ConstView& v) { return {v.as<float>(), v.row_stride}; }

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

void CudaOps::norm_rope_store(const QkvArgs&) { queue_.note(unsupported("backend 'cuda' cannot store K and V yet")); }
void CudaOps::attention(const AttentionPlan&, ConstView, const KvLayer&, View) {
  queue_.note(unsupported("backend 'cuda' has no attention yet"));
}
void CudaOps::route(const RouteArgs&) { queue_.note(unsupported("backend 'cuda' cannot compute with experts yet")); }

}  // namespace ferrum::cuda
