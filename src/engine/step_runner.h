// What the engine needs of a device: a step in, logits out. The product runs a model behind it (runner_step.h), the
// tests a function of the tokens.
#pragma once

#include "base/status.h"
#include "tensor/view.h"
#include "types/batch.h"

namespace ferrum {

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  // Logits f32 [batch.num_logits(), vocab] that the host can read, valid until the next call. A failure may leave the
  // step half done: its KV blocks are not read again. Called by one thread at a time.
  virtual Result<ConstView> run(const Batch& batch) = 0;
};

}  // namespace ferrum
