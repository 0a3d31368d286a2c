// From a checkpoint to a Model on a backend.
#pragma once

#include <memory>

#include "io/gguf.h"
#include "models/model.h"
#include "types/progress.h"

namespace ferrum {

// Reads and checks the specification, binds every tensor and hands them to the backend. The file stays mapped as long
// as the model lives; the backend must outlive it. Errors name the key or tensor at fault and the file.
Result<std::unique_ptr<Model>> load_model(const std::shared_ptr<const Gguf>& file, Backend& backend,
                                          const LoadProgress& progress);

// Bytes of activations that the model of this specification allocates for steps of max_tokens tokens of which
// max_logits want logits: what Model::make_workspace will take, known before the model exists.
int64_t workspace_bytes(const ModelSpec& spec, int max_tokens, int max_logits);

}  // namespace ferrum
