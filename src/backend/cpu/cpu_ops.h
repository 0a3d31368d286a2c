#pragma once

#include "backend/cpu/cpu_context.h"
#include "ops/ops.h"

namespace ferrum {

// Waking the pool costs a few microseconds: elements of simple work that are worth it.
inline constexpr int64_t kElementsPerPiece = 8192;

// Cuts each op into rows (or tokens and KV heads) for the thread pool; the arithmetic is in the kernels.
class CpuOps final : public Ops {
 public:
  // The context outlives the ops.
  explicit CpuOps(CpuContext& context) : context_(context) {}

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
  // Scratch for contexts that are computed in parts; false if there is no memory, then they are computed whole.
  bool reserve_parts(size_t bytes);

  // Calls body(row) for rows [0, count), `width` elements of work each.
  template <typename Body>
  void for_rows(int64_t count, int64_t width, const Body& body);

  CpuContext& context_;
  Buffer parts_;
};

}  // namespace ferrum
