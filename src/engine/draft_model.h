// The guesses of the draft model, for all sequences of a step together.
//
// Between planning a step and building its batch: the plan has reserved blocks for the guesses, and the draft model,
// whose KV lies under the same block ids in storage of its own, computes into them what it guesses. One pass catches up
// with what the target knows of each sequence and gives the first guesses, then one pass per further guess, over all
// sequences that still want one. docs/speculation.md.
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/sequence.h"
#include "engine/step_runner.h"
#include "kv/block_allocator.h"
#include "kv/draft_kv.h"
#include "sched/scheduler.h"
#include "speculation/step_costs.h"

namespace ferrum {

struct DraftModelLimits {
  int num_blocks = 0, block_size = 16;  // of the target's pool
  int max_tokens = 0;                   // of a pass: at least a step's token budget and one per sequence
  int vocab_size = 0;                   // ids that the draft model can read
  int target_vocab_size = 0;            // ids that it may guess
  int max_context = 0;                  // positions it was trained for: guesses behind them are not made
  int window = 0;                       // positions that it sees, itself included; 0 = all
  bool keeps_up = false;                // the pool gives blocks back that fell out of its window, so they cannot be
                                        // computed later: follow the target in every step
};

class DraftModel {
 public:
  DraftModel(const DraftModelLimits& limits, std::unique_ptr<StepRunner> runner);

  // The guesses that the plan's rows want of it, appended to their sequences; what is not made the plan gives up.
  // rows: the plan's, in its order. costs: what the passes took is added.
  void guess(StepPlan& plan, std::span<Sequence* const> rows, const BlockAllocator& kv, StepCosts& costs);
  // A block's content came from elsewhere than a step.
  void forget(BlockId block) { kv_.forget(block); }

  const DraftWork& work() const { return work_; }
  const DraftModelLimits& limits() const { return limits_; }

 private:
  // Positions [begin, end) of one sequence in one pass; end is where guesses begin, if there are to be any.
  struct Job {
    SeqId id = 0;
    Sequence* sequence = nullptr;
    int begin = 0, end = 0;
    int wanted = 0;  // guesses
    int useful = 0;  // positions that a pass must have room for: the target's, and one that the last step left
  };

  std::vector<Job> find_jobs(const StepPlan& plan, std::span<Sequence* const> rows, const BlockAllocator& kv) const;
  bool can_read(const Job& job) const;
  bool can_catch_up(std::span<const BlockId> table, int from) const;
  void fit(std::vector<Job>& jobs) const;
  static int tokens_of(const std::vector<Job>& jobs);
  Status run(std::vector<Job> jobs, const std::vector<BlockCopy>& copies, const BlockAllocator& kv, StepCosts& costs);
  Result<StepOutput> pass(const std::vector<Job>& jobs, const std::vector<BlockCopy>& copies, const BlockAllocator& kv);
  std::vector<Job> next_jobs(const std::vector<Job>& jobs, ConstView logits) const;

  const DraftModelLimits limits_;
  const std::unique_ptr<StepRunner> runner_;
  DraftKv kv_;
  DraftWork work_;
};

}  // namespace ferrum
