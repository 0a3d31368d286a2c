// From a plan to the arrays a forward pass reads.
#pragma once

#include <functional>

#include "kv/block_allocator.h"
#include "sched/scheduler.h"
#include "types/batch.h"
#include "types/input_text.h"

namespace ferrum {

// All that is known of a sequence, prompt first.
using TextOf = std::function<InputText(SeqId)>;

// `kv` holds the plan's reservation already, or one of more tokens. Rows keep the plan's order; logits of a row are
// those of its last tokens.
Batch build_batch(const StepPlan& plan, const BlockAllocator& kv, const TextOf& text_of);

}  // namespace ferrum
