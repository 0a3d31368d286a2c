#include "engine/single_model.h"

#include <algorithm>

#include "base/cores.h"
#include "engine/memory_plan.h"
#include "engine/model_backend.h"
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

// Before the KV cache and the workspace are allocated.
Status check_memory(const Gguf& file, const EngineOptions& options, const SequenceDemand& wanted, int64_t blocks) {
  MemoryDemand demand;
  demand.options = options;
  demand.options.max_seqs = wanted.sequences;
  demand.options.max_model_len = static_cast<int>(wanted.context);
  demand.options.kv_blocks = blocks;
  if (options.threads == 0) demand.options.threads = process_cores();
  demand.available = available_memory();
  demand.process = process_memory();
  FERRUM_ASSIGN_OR_RETURN(const MemoryPlan plan, plan_memory(file, demand));
  return plan.verdict;
}

}  // namespace

Result<SingleModel> open_single_model(const std::string& model_path, const EngineOptions& options,
                                      const SequenceDemand& demand, const LoadProgress& progress) {
  if (options.block_size < 1) return invalid_argument("block_size must be at least 1");
  SingleModel single;
  FERRUM_ASSIGN_OR_RETURN(single.file, Gguf::open(model_path));

  FERRUM_ASSIGN_OR_RETURN(auto backend, make_model_backend(*single.file, options));
  FERRUM_ASSIGN_OR_RETURN(auto model, load_model(single.file, *backend, progress));
  FERRUM_RETURN_IF_ERROR(check_context(model->spec(), options, demand.context));

  const int64_t blocks = demand.sequences * ((demand.context + options.block_size - 1) / options.block_size);
  if (blocks * options.block_size > INT32_MAX) {
    return invalid_argument(std::to_string(demand.sequences) + " sequences of " + std::to_string(demand.context) +
                            " tokens are more than a KV cache can number (2^31)");
  }
  FERRUM_RETURN_IF_ERROR(check_memory(*single.file, options, demand, blocks));
  RunnerOptions runner;
  runner.max_tokens = options.max_batched_tokens;
  runner.max_logits = std::min(std::max(kMaxLogits, demand.sequences), runner.max_tokens);
  runner.block_size = options.block_size;
  runner.num_blocks = static_cast<int>(blocks);
  runner.kv_dtype = options.kv_dtype;
  FERRUM_ASSIGN_OR_RETURN(single.runner, Runner::create(std::move(backend), std::move(model), runner));
  return single;
}

}  // namespace ferrum
