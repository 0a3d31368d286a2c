// The shape promises of ops.h as assertions, shared by the backends. A failure is a bug of the caller: whatever a
// file or a request can get wrong is refused before it comes here.
#pragma once

#include "ops/experts.h"
#include "ops/ops.h"

namespace ferrum::op_checks {

// Whether indices can be looked at: then that each is in range is checked as well.
enum class Indices { kOnHost, kOnDevice };

void embed(const ConstView& table, const ConstView& ids, const View& y, Indices where = Indices::kOnHost);
void rms_norm(const ConstView& x, const ConstView& weight, const View& y);
void same_f32(const ConstView& a, const ConstView& b);
void rope_cos_sin(const ConstView& positions, const ConstView& inv_freq, const View& cos_sin);
void norm_rope_store(const QkvArgs& args, Indices where = Indices::kOnHost);
void attention(const AttentionPlan& plan, const ConstView& q, const KvLayer& kv, const View& out,
               Indices where = Indices::kOnHost);
void silu_mul(const ConstView& gate_up, const View& y);
void gather_rows(const ConstView& x, const ConstView& rows, const View& y, Indices where = Indices::kOnHost);
void route(const RouteArgs& args);
void add_scaled(const View& x, const ConstView& delta, const ConstView& scale);
void experts(const ConstView& x, const Routing& routing, const View& y, int64_t hidden, int top_k);
void linear(const ConstView& x, const View& y, int64_t in_features, int64_t out_features);

}  // namespace ferrum::op_checks
