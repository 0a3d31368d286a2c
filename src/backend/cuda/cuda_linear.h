// Linear on a device: weights copied, those of integers repacked; kernels/linear.h says how results are summed up.
#pragma once

#include <vector>

#include "backend/cuda/queue.h"
#include "ops/linear.h"

namespace ferrum::cuda {

// Quantised activations of one Linear at a time; grown when Linears are made, so that a step allocates nothing.
class ActivationScratch {
 public:
  Status reserve(Device& device, int64_t tokens, int64_t columns);
  QuantActivations arrays(int64_t columns) const;

 private:
  int64_t tokens_ = 0;
  Buffer buffer_;
};

// `spec` must be valid. kCapacity where the device has no memory left.
Result<std::unique_ptr<Linear>> make_cuda_linear(const LinearSpec& spec, Queue& queue, ActivationScratch& scratch,
                                                 int max_tokens);

}  // namespace ferrum::cuda
