#include "backend/host_backend.h"

#include <limits>

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

int64_t total_rows(const LinearSpec& spec) {
  int64_t rows = 0;
  for (const WeightRef& part : spec.parts) rows += part.matrix.dim(0);
  return rows;
}

}  // namespace ferrum
