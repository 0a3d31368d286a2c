#include "backend/cuda/cuda_linear.h"

#include "backend/cuda/weight_packing.h"
#include "backend/host_backend.h"
#include "backend/op_checks.h"

namespace ferrum::cuda {
namespace {

// One matrix of a Linear.
struct Part {
  DType dtype;
  int64_t rows, columns, first_row;  // first_row: its column in y
  std::vector<Buffer> buffers;
  const void* weights = nullptr;  // of float types
  QuantWeights quants;
  const float* bias = nullptr;
};

class Maker {
 public:
  explicit Maker(Device& device) : device_(device) {}

  Result<Part> make(const WeightRef& ref, int64_t first_row) {
    const ConstView& m = ref.matrix;
    part_ = {m.dtype, m.dim(0), m.dim(1), first_row, {}, nullptr, {}, nullptr};
    if (format_index(m.dtype) >= 0) {
      const PackedWeights packed = pack_weights(m);
      put(packed.low, part_.quants.low);
      put(packed.high, part_.quants.high);
      put(packed.scales, part_.quants.scales);
      put(packed.mins, part_.quants.mins);
      put(packed.d, part_.quants.d);
      put(packed.m, part_.quants.m);
    } else {
      part_.weights = copy(m.data, bytes_of(m.dtype, m.elements()));
    }
    if (ref.bias.rank > 0) part_.bias = static_cast<const float*>(copy(ref.bias.data, bytes_of(DType::kF32, m.dim(0))));
    if (!status_.is_ok()) return status_.with_context("tensor '" + ref.name + "'");
    return std::move(part_);
  }

 private:
  const void* copy(const void* data, size_t bytes) {
    if (!status_.is_ok() || bytes == 0) return nullptr;
    Result<Buffer> buffer = copy_of(device_, data, bytes);
    if (!buffer.is_ok()) {
      status_ = buffer.status();
      return nullptr;
    }
    part_.buffers.push_back(std::move(*buffer));
    return part_.buffers.back().data();
  }
  template <typename T>
  void put(const std::vector<T>& from, const T*& to) {
    to = static_cast<const T*>(copy(from.data(), from.size() * sizeof(T)));
  }

  Device& device_;
  Part part_{};
  Status status_;
};

class CudaLinear final : public Linear {
 public:
  CudaLinear(std::vector<Part> parts, int64_t rows, Queue& queue, const ActivationScratch& scratch)
      : parts_(std::move(parts)), rows_(rows), queue_(queue), scratch_(scratch) {}

  int64_t in_features() const override { return parts_[0].columns; }
  int64_t out_features() const override { return rows_; }

  void forward(Ops&, ConstView x, View y) const override {
    op_checks::linear(x, y, in_features(), out_features());
    const ConstRows from{x.as<float>(), x.row_stride};
    const QuantActivations quantised = scratch_.arrays(in_features());
    bool is_quantised = false;
    for (const Part& part : parts_) {
      const View to = y.columns(part.first_row, part.rows);
      const Rows results{to.as<float>(), to.row_stride};
      if (format_index(part.dtype) < 0) {
        multiply_floats(part, from, results, x.dim(0));
        continue;
      }
      if (!is_quantised) {
        queue_.launch(queue_.kernels().linear.quantize, quantize_shape(x.dim(0), in_features()),
                      {from, quantised, in_features()});
      }
      is_quantised = true;
      multiply_quants(part, quantised, results, x.dim(0));
    }
  }

 private:
  void multiply_floats(const Part& part, const ConstRows& x, const Rows& y, int64_t tokens) const {
    const FloatLinearArgs args{
        part.weights, part.dtype, static_cast<int64_t>(bytes_of(part.dtype, part.columns)), part.bias, x, y, part.rows,
        part.columns, tokens};
    queue_.launch(queue_.kernels().linear.floats, float_linear_shape(args), args);
  }
  void multiply_quants(const Part& part, const QuantActivations& x, const Rows& y, int64_t tokens) const {
    const QuantLinearArgs args{part.quants, x, part.bias, y, part.rows, part.columns, tokens};
    const int variant = token_tiles_variant(tokens);
    queue_.launch(queue_.kernels().linear.quants[format_index(part.dtype)][variant],
                  quant_linear_shape(args, kTokenTiles[variant]), args);
  }

  const std::vector<Part> parts_;
  const int64_t rows_;
  Queue& queue_;
  const ActivationScratch& scratch_;
};

}  // namespace

Status ActivationScratch::reserve(Device& device, int64_t tokens, int64_t columns) {
  const int64_t bytes = tokens * (columns + 2 * columns / 32 * static_cast<int64_t>(sizeof(float)));
  tokens_ = tokens;
  if (static_cast<int64_t>(buffer_.bytes()) >= bytes) return Status::ok();
  FERRUM_RETURN_IF_ERROR(device.synchronize());
  FERRUM_ASSIGN_OR_RETURN(buffer_, device.allocate(static_cast<size_t>(bytes)));
  return Status::ok();
}

QuantActivations ActivationScratch::arrays(int64_t columns) const {
  auto* const q = static_cast<int8_t*>(buffer_.data());
  auto* const d = reinterpret_cast<float*>(q + tokens_ * columns);
  return {q, d, d + tokens_ * columns / 32};
}

Result<std::unique_ptr<Linear>> make_cuda_linear(const LinearSpec& spec, Queue& queue, ActivationScratch& scratch,
                                                 int max_tokens) {
  std::vector<Part> parts;
  int64_t rows = 0;
  for (const WeightRef& ref : spec.parts) {
    FERRUM_ASSIGN_OR_RETURN(Part part, Maker(queue.device()).make(ref, rows));
    rows += part.rows;
    if (format_index(part.dtype) >= 0)
      FERRUM_RETURN_IF_ERROR(scratch.reserve(queue.device(), max_tokens, part.columns));
    parts.push_back(std::move(part));
  }
  return std::unique_ptr<Linear>(std::make_unique<CudaLinear>(std::move(parts), rows, queue, scratch));
}

}  // namespace ferrum::cuda
