// A model opened for one sequence at a time, without scheduler and queue: what perplexity and logits dumps run on.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "io/gguf.h"
#include "runner/runner.h"
#include "types/progress.h"

namespace ferrum {

struct SingleModel {
  std::shared_ptr<const Gguf> file;
  std::unique_ptr<Runner> runner;
};

// Backend, threads, step size, block size and KV type from `options`; the KV cache holds `context` tokens.
// kInvalidArgument when `context` is beyond what the model (or options.max_model_len) allows; otherwise the errors of
// opening the file, the backend and the model.
Result<SingleModel> open_single_model(const std::string& model_path, const EngineOptions& options, int64_t context,
                                      const LoadProgress& progress);

}  // namespace ferrum
