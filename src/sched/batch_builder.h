// From a plan to the arrays a forward pass reads.
#pragma once

#include <functional>
#include <span>

#include "kv/block_allocator.h"
#include "sched/scheduler.h"
#include "types/batch.h"

namespace ferrum {

// All known tokens of a sequence, prompt first.
using TokensOf = std::function<std::span<const TokenId>(SeqId)>;

// `kv` holds the plan's reservation already, or one of more tokens. Rows keep the plan's order; logits of a row are
// those of its last tokens.
Batch build_batch(const StepPlan& plan, const BlockAllocator& kv, const TokensOf& tokens_of);

}  // namespace ferrum
