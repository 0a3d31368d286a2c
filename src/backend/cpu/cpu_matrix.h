// One weight matrix of an expert, as the kernels read it: in pieces of kPanelRows output rows.
#pragma once

#include <algorithm>

#include "backend/cpu/cpu_context.h"

namespace ferrum {

// Rows of activations in the forms that weights want: quantised and as floats.
struct CpuInput {
  const ActBlock* blocks = nullptr;
  int64_t block_stride = 0;  // from row to row
  const float* floats = nullptr;
  int64_t float_stride = 0;
  int64_t rows = 0;

  CpuInput from_row(int64_t row, int64_t count) const {
    return {blocks != nullptr ? blocks + row * block_stride : nullptr, block_stride,
            floats != nullptr ? floats + row * float_stride : nullptr, float_stride, count};
  }
};

class CpuMatrix {
 public:
  static constexpr int64_t kPieceRows = kPanelRows;

  // The weight is valid (validate_linear) and outlives the matrix, as does the context. In panels where Linears are.
  static Result<CpuMatrix> make(CpuContext& context, const WeightRef& weight);

  int64_t rows() const { return weight_.matrix.dim(0); }
  int64_t columns() const { return weight_.matrix.dim(1); }
  int64_t pieces() const { return (rows() + kPieceRows - 1) / kPieceRows; }
  int64_t rows_of(int64_t piece) const { return std::min(kPieceRows, rows() - piece * kPieceRows); }
  bool wants_blocks() const { return info(weight_.matrix.dtype).quantized; }

  // y[t * y_stride + r] = row `piece * kPieceRows + r` . x[t], for the piece's rows. By any thread.
  void compute(int64_t piece, const CpuInput& x, float* y, int64_t y_stride) const;

 private:
  CpuMatrix(CpuContext& context, const WeightRef& weight, Buffer panels);
  void convert_and_compute(DotTask task) const;

  WeightRef weight_;
  Buffer panels_;  // empty: the stored matrix is read
  size_t row_bytes_ = 0;
  Kernels::Dot dot_ = nullptr;  // null where rows have to be dequantised to F32 first
  Kernels::Dot float_dot_ = nullptr;
};

}  // namespace ferrum
