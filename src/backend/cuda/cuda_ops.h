// Ops as launches of kernels on one stream.
#pragma once

#include "backend/cuda/queue.h"
#include "ops/ops.h"

namespace ferrum::cuda {

class CudaOps final : public Ops {
 public:
  explicit CudaOps(Queue& queue) : queue_(queue) {}

  void embed(ConstView table, ConstView ids, View y) override;
  void rms_norm(ConstView x, ConstView weight, float eps, View y) override;
  void add_rms_norm(View residual, ConstView delta, ConstView weight, float eps, View y) override;
  void add(View x, ConstView delta) override;
  void rope_cos_sin(ConstView positions, ConstView inv_freq, float magnitude, View cos_sin) override;
  void norm_rope_store(const QkvArgs& args) override;
  void attention(const AttentionPlan& plan, ConstView q, const KvLayer& kv, View out) override;
  void silu_mul(ConstView gate_up, View y) override;
  void gather_rows(ConstView x, ConstView rows, View y) override;
  void route(const RouteArgs& args) override;
  void add_scaled(View x, ConstView delta, ConstView scale) override;

 private:
  // Room for spans that are computed apart; allocated once, for as many as there can be.
  Status make_partials(AttentionArgs& args);

  Queue& queue_;
  Buffer partials_;
};

}  // namespace ferrum::cuda
