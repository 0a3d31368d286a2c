#include "engine/single_model.h"

#include <algorithm>

#include "backend/registry.h"
#include "models/registry.h"

namespace ferrum {
namespace {

// Rows of logits computed at once are [max_logits, vocab]: a few are enough to keep the head's matrix product
// efficient.
constexpr int kMaxLogits = 64;

Status check_context(const ModelSpec& spec, const EngineOptions& options, int64_t context) {
  int limit = spec.max_context;
  if (options.max_model_len > 0) limit = std::min(limit, options.max_model_len);
  if (context >= 1 && context <= limit) return Status::ok();
  return invalid_argument("a context of " + std::to_string(context) + " tokens is not between 1 and the " +
                          std::to_string(limit) + " that this model allows");
}

}  // namespace

Result<SingleModel> open_single_model(const std::string& model_path, const EngineOptions& options, int64_t context,
                                      const LoadProgress& progress) {
  if (options.block_size < 1) return invalid_argument("block_size must be at least 1");
  SingleModel single;
  FERRUM_ASSIGN_OR_RETURN(single.file, Gguf::open(model_path));

  BackendConfig config;
  config.name = options.backend;
  config.isa = options.isa;
  config.threads = options.threads;
  config.limits.max_tokens = options.max_batched_tokens;
  FERRUM_ASSIGN_OR_RETURN(auto backend, make_backend(config));
  FERRUM_ASSIGN_OR_RETURN(auto model, load_model(single.file, *backend, progress));
  FERRUM_RETURN_IF_ERROR(check_context(model->spec(), options, context));

  RunnerOptions runner;
  runner.max_tokens = options.max_batched_tokens;
  runner.max_logits = std::min(kMaxLogits, runner.max_tokens);
  runner.block_size = options.block_size;
  runner.num_blocks = static_cast<int>((context + options.block_size - 1) / options.block_size);
  runner.kv_dtype = options.kv_dtype;
  FERRUM_ASSIGN_OR_RETURN(single.runner, Runner::create(std::move(backend), std::move(model), runner));
  return single;
}

}  // namespace ferrum
