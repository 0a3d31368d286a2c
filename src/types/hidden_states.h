// What a caller may want of a model besides logits.
#pragma once

namespace ferrum {

// None, those after the last layer, or those after the final norm (what the head reads; an embedding model's output).
enum class HiddenStates { kNone, kPreNorm, kPostNorm };

// Of a prompt's positions: the last one's, all, or their mean.
enum class HiddenPositions { kLast, kAll, kMean };

}  // namespace ferrum
