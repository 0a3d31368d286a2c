// A model on a backend, as the engine's step loop sees it.
#pragma once

#include <memory>

#include "engine/engine.h"
#include "engine/step_runner.h"
#include "runner/runner.h"

namespace ferrum {

class ModelStepRunner final : public StepRunner {
 public:
  explicit ModelStepRunner(std::unique_ptr<Runner> runner) : runner_(std::move(runner)) {}
  // With the step size and KV pool of resolved options; logit_rows: that a step may ask for. As Runner::create.
  static Result<std::unique_ptr<StepRunner>> create(std::unique_ptr<Backend> backend, std::unique_ptr<Model> model,
                                                    const EngineOptions& options, int logit_rows) {
    FERRUM_ASSIGN_OR_RETURN(auto runner,
                            Runner::create(std::move(backend), std::move(model),
                                           {options.max_batched_tokens, logit_rows, static_cast<int>(options.kv_blocks),
                                            options.block_size, options.kv_dtype}));
    return std::unique_ptr<StepRunner>(std::make_unique<ModelStepRunner>(std::move(runner)));
  }
  Result<StepOutput> run(const Batch& batch) override { return runner_->run(batch); }
  std::vector<ExpertLoad> expert_load() const override { return runner_->expert_load(); }
  ExpertCacheCounts expert_cache() const override { return runner_->backend().expert_cache(); }
  std::string fault() const override { return runner_->router_fault(); }
  Status read_block(BlockId block, std::byte* to) const override { return runner_->read_block(block, to); }
  Status write_block(BlockId block, const std::byte* from) override { return runner_->write_block(block, from); }

 private:
  std::unique_ptr<Runner> runner_;
};

}  // namespace ferrum
