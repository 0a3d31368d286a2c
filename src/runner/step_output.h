// What one step gives.
#pragma once

#include "tensor/view.h"

namespace ferrum {

// Rows that the host can read, valid until the runner's next step.
struct StepOutput {
  ConstView logits;       // f32 [batch.num_logits, vocab]
  ConstView hidden = {};  // f32 [batch.num_tokens, hidden], those of rows that want some; rank 0 if none does
};

}  // namespace ferrum
