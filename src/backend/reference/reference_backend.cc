#include "backend/reference/reference_backend.h"

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

}  // namespace

Result<std::unique_ptr<Linear>> ReferenceBackend::make_linear(LinearSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_linear(spec));
  return std::unique_ptr<Linear>(std::make_unique<ReferenceLinear>(std::move(spec)));
}

}  // namespace ferrum
