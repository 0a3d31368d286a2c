#include "backend/cuda/cuda_linear.h"

#include "backend/cuda/device_matrix.h"
#include "backend/host_backend.h"
#include "backend/op_checks.h"

namespace ferrum::cuda {
namespace {

// One matrix of a Linear.
struct Part {
  StoredMatrix matrix;
  int64_t rows, first_row;  // first_row: its column in y
};

class CudaLinear final : public Linear {
 public:
  CudaLinear(const LinearSpec& spec, DeviceMatrices matrices, Queue& queue, const ActivationScratch& scratch)
      : buffer_(std::move(matrices.buffer)),
        columns_(spec.parts[0].matrix.dim(1)),
        rows_(total_rows(spec)),
        queue_(queue),
        scratch_(scratch) {
    int64_t row = 0;
    for (size_t i = 0; i < spec.parts.size(); ++i) {
      parts_.push_back({matrices.matrices[i], spec.parts[i].matrix.dim(0), row});
      row += parts_.back().rows;
    }
  }

  int64_t in_features() const override { return columns_; }
  int64_t out_features() const override { return rows_; }

  void forward(Ops&, ConstView x, View y) const override {
    op_checks::linear(x, y, columns_, rows_);
    const int64_t tokens = x.dim(0);
    const ConstRows from{x.as<float>(), x.row_stride};
    const LinearKernels& kernels = queue_.kernels().linear;
    QuantActivations quantised;  // by the first part that wants them
    for (const Part& part : parts_) {
      const View to = y.columns(part.first_row, part.rows);
      const Rows results{to.as<float>(), to.row_stride};
      const DType dtype = part.matrix.dtype;
      if (format_index(dtype) < 0) {
        const auto row_bytes = static_cast<int64_t>(bytes_of(dtype, columns_));
        const FloatLinearArgs args{part.matrix, row_bytes, from, nullptr, results, part.rows, columns_, tokens, {}};
        queue_.launch(kernels.floats, float_linear_shape(args), args);
        continue;
      }
      if (quantised.q == nullptr) {
        quantised = scratch_.arrays(tokens, columns_);
        queue_.launch(kernels.quantize, quantize_shape(tokens, columns_), {from, nullptr, quantised, columns_});
      }
      const QuantLinearArgs args{part.matrix, quantised, results, part.rows, columns_, tokens, {}};
      const int variant = token_tiles_variant(tokens);
      queue_.launch(kernels.quants[format_index(dtype)][variant], quant_linear_shape(args, kTokenTiles[variant]), args);
    }
  }

 private:
  const Buffer buffer_;
  const int64_t columns_, rows_;
  std::vector<Part> parts_;
  Queue& queue_;
  const ActivationScratch& scratch_;
};

}  // namespace

Status grow(Device& device, Buffer& buffer, int64_t bytes) {
  if (static_cast<int64_t>(buffer.bytes()) >= bytes) return Status::ok();
  FERRUM_RETURN_IF_ERROR(device.synchronize());
  FERRUM_ASSIGN_OR_RETURN(buffer, device.allocate(static_cast<size_t>(bytes)));
  return Status::ok();
}

Status ActivationScratch::reserve(Device& device, int64_t bytes) { return grow(device, buffer_, bytes); }

QuantActivations ActivationScratch::arrays(int64_t tokens, int64_t columns) const {
  auto* const q = static_cast<int8_t*>(buffer_.data());
  auto* const d = reinterpret_cast<float*>(q + tokens * columns);
  return {q, d, d + tokens * columns / 32};
}

Result<std::unique_ptr<Linear>> make_cuda_linear(const LinearSpec& spec, Queue& queue, ActivationScratch& scratch,
                                                 int max_tokens) {
  FERRUM_ASSIGN_OR_RETURN(DeviceMatrices matrices, copy_matrices(queue.device(), spec.parts));
  for (const WeightRef& part : spec.parts) {
    if (format_index(part.matrix.dtype) < 0) continue;
    FERRUM_RETURN_IF_ERROR(scratch.reserve(queue.device(), ActivationScratch::bytes(max_tokens, part.matrix.dim(1))));
  }
  return std::unique_ptr<Linear>(std::make_unique<CudaLinear>(spec, std::move(matrices), queue, scratch));
}

}  // namespace ferrum::cuda
