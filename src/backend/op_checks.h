// The shape promises of ops.h as assertions, shared by the host backends. A failure is a bug of the caller: whatever a
// file or a request can get wrong is refused before it comes here.
#pragma once

#include "ops/experts.h"
#include "ops/ops.h"

namespace ferrum::op_checks {

void embed(const ConstView& table, const ConstView& ids, const View& y);  // also that every id is in the table
void rms_norm(const ConstView& x, const ConstView& weight, const View& y);
void same_f32(const ConstView& a, const ConstView& b);
void rope_cos_sin(const ConstView& positions, const ConstView& inv_freq, const View& cos_sin);
void norm_rope_store(const QkvArgs& args);  // also that every slot is in the cache
void attention(const AttentionPlan& plan, const ConstView& q, const KvLayer& kv, const View& out);
void silu_mul(const ConstView& gate_up, const View& y);
void gather_rows(const ConstView& x, const ConstView& rows, const View& y);
void route(const RouteArgs& args);
void add_scaled(const View& x, const ConstView& delta, const ConstView& scale);
void experts(const ConstView& x, const Routing& routing, const View& y, int64_t hidden, int top_k);
void linear(const ConstView& x, const View& y, int64_t in_features, int64_t out_features);

}  // namespace ferrum::op_checks
