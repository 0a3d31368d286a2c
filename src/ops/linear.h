// y = x W^T + b, whatever W is stored as.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ops/ops.h"
#include "tensor/view.h"

namespace ferrum {

// One stored matrix, in place where the file was mapped (or in a buffer); [out_features, in_features] row-major, rows
// of whole blocks. The memory outlives every Linear made from it.
struct WeightRef {
  std::string name;  // of the tensor, for messages
  ConstView matrix;  // [out, in] of any dtype
  ConstView bias;    // f32 [out]; rank 0 = none
  // The matrix lies in a read-only mapping of a file: a backend that copies it may give its pages back to the system.
  bool mapped = false;
};

// Projections that read the same input, computed as one: their outputs stand side by side in y.
// {q, k, v} and {gate, up} are fused this way although their types differ; the weights are not copied.
struct LinearSpec {
  std::vector<WeightRef> parts;  // all with the same in_features
};

class Linear {
 public:
  virtual ~Linear() = default;
  virtual int64_t in_features() const = 0;
  virtual int64_t out_features() const = 0;  // of all parts together
  // x: f32 [T, in]; y: f32 [T, out]; T from 0 to the limit the backend was made with.
  virtual void forward(Ops& ops, ConstView x, View y) const = 0;
};

}  // namespace ferrum
