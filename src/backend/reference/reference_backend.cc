#include "backend/reference/reference_backend.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "backend/op_checks.h"
#include "quant/quantize.h"

namespace ferrum {
namespace {

class ReferenceLinear final : public Linear {
 public:
  explicit ReferenceLinear(LinearSpec spec) : spec_(std::move(spec)), out_features_(total_rows(spec_)) {}

  int64_t in_features() const override { return spec_.parts[0].matrix.dim(1); }
  int64_t out_features() const override { return out_features_; }

  // One weight row at a time is dequantised, never the matrix.
  void forward(Ops&, ConstView x, View y) const override {
    op_checks::linear(x, y, in_features(), out_features_);
    std::vector<float> weights(static_cast<size_t>(in_features()));
    int64_t column = 0;
    for (const WeightRef& part : spec_.parts) {
      const auto* bytes = static_cast<const std::byte*>(part.matrix.data);
      const size_t row_bytes = bytes_of(part.matrix.dtype, in_features());
      for (int64_t r = 0; r < part.matrix.dim(0); ++r, ++column, bytes += row_bytes) {
        dequantize_row(part.matrix.dtype, bytes, weights.data(), in_features());
        const double bias = part.bias.rank > 0 ? part.bias.as<float>()[r] : 0.0f;
        for (int64_t t = 0; t < x.dim(0); ++t) {
          double sum = bias;
          for (size_t i = 0; i < weights.size(); ++i) sum += static_cast<double>(weights[i]) * x.row<float>(t)[i];
          y.row<float>(t)[column] = static_cast<float>(sum);
        }
      }
    }
  }

 private:
  LinearSpec spec_;
  int64_t out_features_;
};

// One pair of token and expert after the other, with Linears.
class ReferenceExperts final : public Experts {
 public:
  explicit ReferenceExperts(ExpertsSpec spec)
      : top_k_(spec.top_k), hidden_(spec.experts[0].gate.matrix.dim(1)), ffn_(spec.experts[0].gate.matrix.dim(0)) {
    for (ExpertWeights& expert : spec.experts) {
      gate_up_.emplace_back(LinearSpec{{std::move(expert.gate), std::move(expert.up)}});
      down_.emplace_back(LinearSpec{{std::move(expert.down)}});
    }
  }

  int64_t num_experts() const override { return static_cast<int64_t>(down_.size()); }

  void forward(Ops& ops, ConstView x, const Routing& routing, View y) const override {
    op_checks::experts(x, routing, y, hidden_, top_k_);
    std::vector<float> gate_up(static_cast<size_t>(2 * ffn_)), gated(static_cast<size_t>(ffn_)),
        result(static_cast<size_t>(hidden_));
    std::vector<double> sum(result.size());
    std::vector<int64_t> order(static_cast<size_t>(top_k_));
    const auto row_view = [](std::vector<float>& v) {
      return View(v.data(), DType::kF32, {1, static_cast<int64_t>(v.size())});
    };
    for (int64_t t = 0; t < x.dim(0); ++t) {
      const int32_t* ids = routing.ids.row<int32_t>(t);
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return ids[a] < ids[b]; });
      std::fill(sum.begin(), sum.end(), 0.0);
      const ConstView token(x.row<float>(t), DType::kF32, {1, hidden_});
      for (const int64_t k : order) {
        const auto expert = static_cast<size_t>(ids[k]);
        FERRUM_CHECK(expert < down_.size(),
                     "expert " + std::to_string(ids[k]) + " is not one of " + std::to_string(down_.size()));
        ops.enter_phase(ExpertPhase::kGateUp);
        gate_up_[expert].forward(ops, token, row_view(gate_up));
        ops.enter_phase(ExpertPhase::kActivation);
        ReferenceOps().silu_mul(row_view(gate_up), row_view(gated));
        ops.enter_phase(ExpertPhase::kDown);
        down_[expert].forward(ops, row_view(gated), row_view(result));
        ops.enter_phase(ExpertPhase::kCombine);
        const double weight = routing.weights.row<float>(t)[k];
        for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight * result[i];
      }
      for (size_t i = 0; i < sum.size(); ++i) y.row<float>(t)[i] = static_cast<float>(sum[i]);
    }
    ops.enter_phase(ExpertPhase::kDone);
  }

 private:
  const int top_k_;
  const int64_t hidden_, ffn_;
  std::vector<ReferenceLinear> gate_up_, down_;
};

}  // namespace

Result<std::unique_ptr<Experts>> ReferenceBackend::make_experts(ExpertsSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_experts(spec));
  return std::unique_ptr<Experts>(std::make_unique<ReferenceExperts>(std::move(spec)));
}

Result<std::unique_ptr<Linear>> ReferenceBackend::make_linear(LinearSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_linear(spec));
  return std::unique_ptr<Linear>(std::make_unique<ReferenceLinear>(std::move(spec)));
}

}  // namespace ferrum
