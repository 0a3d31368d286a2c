// The draft model: whether it fits the target, what it takes, and how it is loaded.
#pragma once

#include <memory>
#include <string>

#include "engine/draft_model.h"
#include "engine/engine.h"
#include "io/gguf.h"

namespace ferrum {

// nullptr for an empty path.
Result<std::shared_ptr<const Gguf>> open_draft_model(const std::string& path);

// A draft model's tokens must mean what the target's do: the same kind of tokenizer and the same text for every id that
// both have. One list may be longer: what only one side knows is never guessed, and ends the guessing where it occurs.
// kInvalidArgument saying what differs.
Status check_draft_model(const Gguf& target, const Gguf& draft);

// The engine's options as the draft model's runner has them: a pass has room for a step's tokens and for one more per
// sequence, which the last step left to be computed.
EngineOptions draft_options(const EngineOptions& target);
// Rows of logits of a pass: one per sequence.
int draft_logit_rows(const EngineOptions& target);

// Positions that the pool keeps where each of two models sees so many, itself included; 0 = all.
int wider_window(int target, int draft);

// On a backend of its own, with its kernels checked on its own weights. options: resolved, of the target.
Result<std::unique_ptr<DraftModel>> load_draft_model(const std::shared_ptr<const Gguf>& file, const ModelSpec& target,
                                                     const EngineOptions& options, const LoadProgress& progress);

}  // namespace ferrum
