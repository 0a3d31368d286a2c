#include "backend/host_backend.h"

#include <cmath>
#include <limits>
#include <span>

#include "moe/router.h"

namespace ferrum {
namespace {

Status validate_part(const WeightRef& part, int64_t in_features) {
  const ConstView& m = part.matrix;
  const auto wrong = [&](const std::string& what) {
    return corrupt("tensor '" + part.name + "' " + describe(m) + ": " + what);
  };
  if (m.rank != 2) return wrong("a weight matrix must have two dimensions");
  if (m.dim(0) <= 0 || m.dim(1) <= 0) return wrong("a weight matrix must not be empty");
  if (m.data == nullptr) return wrong("has no data");
  if (m.dim(1) != in_features) {
    return wrong("expects " + std::to_string(m.dim(1)) + " input features, the matrix it is fused with " +
                 std::to_string(in_features));
  }
  if (!m.is_contiguous()) return wrong("rows must follow each other without gaps");
  if (m.dim(1) % info(m.dtype).block_elements != 0) {
    return wrong("rows must be whole blocks of " + std::to_string(info(m.dtype).block_elements) + " elements");
  }
  if (m.dim(0) > std::numeric_limits<int64_t>::max() / m.dim(1) ||
      !checked_bytes(m.dtype, m.dim(0) * m.dim(1)).has_value()) {
    return wrong("is larger than memory can be");
  }
  const ConstView& b = part.bias;
  if (b.rank == 0) return Status::ok();
  if (b.rank != 1 || b.dtype != DType::kF32 || b.dim(0) != m.dim(0) || b.data == nullptr) {
    return wrong("its bias is " + describe(b) + " and should be [" + std::to_string(m.dim(0)) + "] F32");
  }
  return Status::ok();
}

}  // namespace

Status validate_linear(const LinearSpec& spec) {
  if (spec.parts.empty()) return invalid_argument("a Linear needs at least one weight matrix");
  const int64_t in_features = spec.parts[0].matrix.dim(1);
  for (const WeightRef& part : spec.parts) FERRUM_RETURN_IF_ERROR(validate_part(part, in_features));
  return Status::ok();
}

Status validate_experts(const ExpertsSpec& spec) {
  const auto count = static_cast<int>(spec.experts.size());
  if (count < 1 || count > kMaxExperts) {
    return invalid_argument(std::to_string(count) + " experts; there can be 1 to " + std::to_string(kMaxExperts));
  }
  if (spec.top_k < 1 || spec.top_k > count) {
    return invalid_argument(std::to_string(spec.top_k) + " experts per token of " + std::to_string(count));
  }
  const ConstView& first = spec.experts[0].gate.matrix;
  const auto check = [&](const WeightRef& weight, int64_t rows, int64_t columns) -> Status {
    FERRUM_RETURN_IF_ERROR(validate_linear({{weight}}));
    if (weight.matrix.dim(0) == rows && weight.matrix.dim(1) == columns) return Status::ok();
    return corrupt("tensor '" + weight.name + "' is " + describe(weight.matrix) +
                   "; beside the other experts' it must be [" + std::to_string(rows) + ", " + std::to_string(columns) +
                   "]");
  };
  for (const ExpertWeights& expert : spec.experts) {
    FERRUM_RETURN_IF_ERROR(check(expert.gate, first.dim(0), first.dim(1)));
    FERRUM_RETURN_IF_ERROR(check(expert.up, first.dim(0), first.dim(1)));
    FERRUM_RETURN_IF_ERROR(check(expert.down, first.dim(1), first.dim(0)));
  }
  return Status::ok();
}

void route_rows(const RouteArgs& a, int64_t begin, int64_t end) {
  const auto experts = static_cast<size_t>(a.spec.num_experts), top_k = static_cast<size_t>(a.spec.top_k);
  const std::span<const float> bias(a.bias.rank > 0 ? a.bias.as<float>() : nullptr, a.bias.rank > 0 ? experts : 0);
  for (int64_t t = begin; t < end; ++t) {
    const float* logits = a.logits.row<float>(t);
    route_token(a.spec, std::span(logits, experts), bias,
                {std::span(a.out.ids.row<int32_t>(t), top_k), std::span(a.out.weights.row<float>(t), top_k)});
    if (a.out.shared.rank > 0) a.out.shared.as<float>()[t] = shared_expert_weight(logits[experts]);
  }
}

void count_load(const RouteArgs& a) {
  auto* const load = a.load.as<int64_t>();
  for (int64_t t = 0; t < a.logits.dim(0); ++t) {
    const bool numbers = !std::isnan(a.out.weights.row<float>(t)[0]);
    if (!numbers) ++load[a.spec.num_experts];
    for (int64_t k = 0; numbers && k < a.spec.top_k; ++k) ++load[a.out.ids.row<int32_t>(t)[k]];
  }
}

int64_t total_rows(const LinearSpec& spec) {
  int64_t rows = 0;
  for (const WeightRef& part : spec.parts) rows += part.matrix.dim(0);
  return rows;
}

}  // namespace ferrum
