#include "backend/cpu/cpu_matrix.h"

#include <vector>

#include "backend/cpu/float_panels.h"
#include "backend/cpu/panels.h"
#include "quant/quantize.h"

namespace ferrum {

CpuMatrix::CpuMatrix(const CpuContext& context, const WeightRef& weight, const std::byte* panels)
    : matrix_(weight.matrix),
      bias_(weight.bias.rank > 0 ? weight.bias.as<float>() : nullptr),
      weights_(panels != nullptr ? panels : static_cast<const std::byte*>(matrix_.data)),
      row_bytes_(bytes_of(matrix_.dtype, matrix_.dim(1))),
      dot_((panels != nullptr ? context.kernels.panel_dot : context.kernels.dot)[static_cast<size_t>(matrix_.dtype)]),
      float_dot_(context.kernels.dot[static_cast<size_t>(DType::kF32)]) {
  if (panels == nullptr || !has_float_panels(matrix_.dtype)) return;
  floats_ = &context.kernels.floats.of(matrix_.dtype);
  row_bytes_ = panel_bytes(matrix_.dtype, kPanelRows, columns()) / kPanelRows;
}

void CpuMatrix::compute(int64_t piece, const CpuInput& x, float* y, int64_t y_stride) const {
  const int64_t row = piece * kPieceRows;
  DotTask task;
  task.weights = weights_ + static_cast<size_t>(row) * row_bytes_;
  task.row_bytes = row_bytes_;
  task.rows = rows_of(piece);
  task.columns = columns();
  task.x = wants_blocks() ? static_cast<const void*>(x.blocks) : x.floats;
  task.x_stride = wants_blocks() ? x.block_stride : x.float_stride;
  task.tokens = x.rows;
  task.bias = bias_ != nullptr ? bias_ + row : nullptr;
  task.y = y;
  task.y_stride = y_stride;
  if (floats_ != nullptr) return arrange_and_compute(task);
  if (dot_ != nullptr) return dot_(task);
  convert_and_compute(task);
}

// Tiles are made anew for each piece of rows: that costs about as much as the products of a batch, and nothing beside
// the weights' way from memory for one token. Experts of float weights are rare; the others have blocks that all share.
void CpuMatrix::arrange_and_compute(DotTask task) const {
  const int64_t stride = float_tile_stride(columns());
  thread_local std::vector<std::byte> tile;  // grows to the widest matrix
  tile.resize(std::max(tile.size(), static_cast<size_t>(kFloatTileTokens * stride * floats_->element)));
  const auto* x = static_cast<const float*>(task.x);
  const int64_t x_stride = task.x_stride, tokens = task.tokens;
  task.x = tile.data();
  task.x_stride = stride;
  for (int64_t token = 0; token < tokens; token += kFloatTileTokens) {
    task.tokens = std::min<int64_t>(kFloatTileTokens, tokens - token);
    floats_->arrange({x + token * x_stride, x_stride, task.tokens, columns(), stride, tile.data()});
    floats_->dot(task);
    task.y += kFloatTileTokens * task.y_stride;
  }
}

// F64 and integers: no file of a model has them in a matrix, so a row buffer per thread is good enough.
void CpuMatrix::convert_and_compute(DotTask task) const {
  thread_local std::vector<float> row;
  row.resize(static_cast<size_t>(columns()));
  const std::byte* stored = task.weights;
  task.weights = reinterpret_cast<const std::byte*>(row.data());
  task.row_bytes = row.size() * sizeof(float);
  const int64_t rows = task.rows;
  task.rows = 1;
  for (int64_t r = 0; r < rows; ++r, stored += row_bytes_, ++task.y) {
    dequantize_row(matrix_.dtype, stored, row.data(), columns());
    float_dot_(task);
    if (task.bias != nullptr) ++task.bias;
  }
}

}  // namespace ferrum
