// A model opened without scheduler and queue: what perplexity, logits dumps and `ferrum bench` run on.
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

// What the KV cache and the logits are made for.
struct SequenceDemand {
  int64_t context = 0;  // tokens of a sequence
  int sequences = 1;    // at once; each has whole blocks of its own
};

// Backend, threads, step size, block size and KV type from `options`. kInvalidArgument when the context is beyond what
// the model (or options.max_model_len) allows, kCapacity when the memory is short; otherwise the errors of opening the
// file, the backend and the model.
Result<SingleModel> open_single_model(const std::string& model_path, const EngineOptions& options,
                                      const SequenceDemand& demand, const LoadProgress& progress);

}  // namespace ferrum
