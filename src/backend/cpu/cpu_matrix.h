// One weight matrix of an expert, as the kernels read it: in pieces of kPieceRows output rows.
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
  static constexpr int64_t kPieceRows = 2 * kPanelRows;  // two panels share the loads of activations

  // The weight is valid (validate_linear) and outlives the matrix, as do the context and the panels: the weight packed
  // (panels.h), or null to compute on the weight as it is stored.
  CpuMatrix(const CpuContext& context, const WeightRef& weight, const std::byte* panels);

  int64_t rows() const { return matrix_.dim(0); }
  int64_t columns() const { return matrix_.dim(1); }
  int64_t pieces() const { return (rows() + kPieceRows - 1) / kPieceRows; }
  int64_t rows_of(int64_t piece) const { return std::min(kPieceRows, rows() - piece * kPieceRows); }
  bool wants_blocks() const { return info(matrix_.dtype).quantized; }

  // y[t * y_stride + r] = row `piece * kPieceRows + r` . x[t], for the piece's rows. By any thread.
  void compute(int64_t piece, const CpuInput& x, float* y, int64_t y_stride) const;

 private:
  void arrange_and_compute(DotTask task) const;
  void convert_and_compute(DotTask task) const;

  ConstView matrix_;
  const float* bias_;         // [rows] or null
  const std::byte* weights_;  // panels or stored rows
  size_t row_bytes_;
  const FloatPanelKernel* floats_ = nullptr;  // of panels of float weights
  Kernels::Dot dot_;                          // null where rows have to be dequantised to F32 first
  Kernels::Dot float_dot_;
};

}  // namespace ferrum
