// Linear on a device: weights copied, those of integers repacked; kernels/linear.h says how results are summed up.
#pragma once

#include <vector>

#include "backend/cuda/queue.h"
#include "ops/linear.h"

namespace ferrum::cuda {

// Quantised activations of one Linear at a time; grown when Linears are made, so that a step allocates nothing.
class ActivationScratch {
 public:
  static int64_t bytes(int64_t tokens, int64_t columns) {
    return tokens * (columns + 2 * columns / 32 * static_cast<int64_t>(sizeof(float)));
  }
  Status reserve(Device& device, int64_t bytes);
  QuantActivations arrays(int64_t tokens, int64_t columns) const;

 private:
  Buffer buffer_;
};

// Makes `buffer` memory of at least so many bytes. What may still use the smaller one has ended when this returns.
Status grow(Device& device, Buffer& buffer, int64_t bytes);

// `spec` must be valid. kCapacity where the device has no memory left.
Result<std::unique_ptr<Linear>> make_cuda_linear(const LinearSpec& spec, Queue& queue, ActivationScratch& scratch,
                                                 int max_tokens);

}  // namespace ferrum::cuda
