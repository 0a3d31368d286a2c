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

}  // namespace ferrum
