// What the engine needs of a device: a step in, logits out. The product runs a model behind it (model_step_runner.h),
// the tests a function of the tokens.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "runner/step_output.h"
#include "types/batch.h"
#include "types/expert_cache.h"
#include "types/expert_load.h"

namespace ferrum {

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  // A failure may leave the step half done: its KV blocks are not read again. Called by one thread at a time.
  virtual Result<StepOutput> run(const Batch& batch) = 0;
  // By layer; empty without experts. By any thread, while steps run.
  virtual std::vector<ExpertLoad> expert_load() const { return {}; }
  virtual ExpertCacheCounts expert_cache() const { return {}; }
  // What made results of the last step NaN, if that is known: "the router of layer 3 ..."; else empty.
  virtual std::string fault() const { return {}; }
  // The KV of a block as bytes, as many as CoreOptions::kv says, by the same thread. Only engines whose KV is saved and
  // restored ask for it. After a failure nothing is of use that lies at `to`, or in the block.
  [[nodiscard]] virtual Status read_block(BlockId, std::byte* /*to*/) const { return internal_error(kNoBytes); }
  [[nodiscard]] virtual Status write_block(BlockId, const std::byte* /*from*/) { return internal_error(kNoBytes); }

 private:
  static constexpr const char* kNoBytes = "this runner's KV has no bytes";
};

}  // namespace ferrum
