// Which tokens of which sequences the next step computes. Pure policy over counts: no tokens, no device, no clock.
//
// A step is a transaction: plan() reserves its KV blocks; then exactly one of commit() and rollback() ends it. Between
// the two only submit() may be called. Policy and its guarantees (docs/engine.md): sequences are served in the order of
// QueuePolicy, decode rows before prompt chunks, the last of those that run is preempted when blocks run out, the first
// of them progresses in every step.
//
// Iteration-level scheduling: Yu et al., "Orca", OSDI 2022; prompt chunks beside decode rows: Agrawal et al.,
// "Sarathi-Serve", OSDI 2024. Not thread-safe: the engine guards it.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "kv/block_allocator.h"
#include "sched/fair_share.h"
#include "types/ids.h"
#include "types/queue_policy.h"

namespace ferrum {

inline constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

struct SchedulerLimits {
  int max_seqs = 16;             // sequences that run at once
  int max_batched_tokens = 512;  // tokens of a step
  int max_logits = 80;           // positions of a step that want logits; more than max_seqs
  int max_waiting = 256;         // sequences that wait although max_seqs are in the engine already

  // Prompt tokens of a step in which others decode, at most; 0 = what max_batched_tokens leaves. Small values keep the
  // time between tokens even, large ones read prompts sooner.
  int active_decode_prefill_chunk = 0;
  // While fewer sequences decode, prompts and newcomers go before decode rows; 0 = never.
  int prefill_first_until_active = 0;
  // A newcomer whose whole prompt fits into a step waits for one that has room for it, instead of being cut.
  bool whole_prompts = false;

  QueuePolicy policy = QueuePolicy::kFcfs;
  // Of the two other policies: the head start in time of arrival that one step of priority is worth. Since it is
  // finite, only so many can overtake a sequence.
  int64_t ageing_ns = int64_t{60} * 1'000'000'000;
};

// Times are nanoseconds of one clock that never goes back.
struct NewSequence {
  SeqId id = 0;
  int prompt_tokens = 0;      // at least 1
  int max_tokens = 0;         // prompt and generated together, at most; at least prompt_tokens
  bool score_prompt = false;  // logits are wanted at every prompt position
  bool whole_prompt = false;  // something else is wanted of every one, so that none may come from the cache
  // Hashes of the prompt's full blocks, by which KV that is in the cache already is found; empty = neither look for
  // this text nor let others find it.
  std::vector<PrefixHash> prefix = {};

  int64_t submitted = 0;
  int priority = 0;         // less is earlier; kFcfs does not look at it
  std::string tenant = {};  // who shares with others under kFair
  int64_t start_by = kNever,
          finish_by = kNever;  // when expire() takes it out: if it has not run until then; in any case
  // An earlier sequence with the same prompt, which this one waits for while it reads it, and then shares its KV; 0 =
  // none. Whether it is still there does not matter.
  SeqId twin = 0;
};

// Tokens [begin, begin + count) of a sequence; the last logit_count of them want logits. The last `drafts` are guesses
// that follow the last known token (docs/speculation.md).
struct PlannedRow {
  SeqId seq = 0;
  int begin = 0;
  int count = 0;
  int logit_count = 0;
  bool samples = false;  // the row reaches the sequence's last known token: its logits there give the next one
  int drafts = 0;
};

struct StepPlan {
  std::vector<PlannedRow> rows;  // never empty
  std::vector<SeqId> preempted;  // lost their KV; stays so after a rollback, as admission does
  int num_tokens = 0;
  int num_logits = 0;
  KvReservation reservation;
  std::vector<KvMove> moves;  // to be made before anything else of the step, whatever becomes of it

  // A row's last guesses were not made after all.
  void give_up_drafts(size_t row, int drafts);
};

// What became of a row that samples; rows that do not must have the default.
struct RowOutcome {
  int new_tokens = 0;     // 1 and one more for each draft that was right, in order; fewer where it finished
  bool finished = false;  // the sequence leaves the engine
  std::vector<PrefixHash> prefix = {};  // of the blocks that the new tokens filled
};

class Scheduler {
 public:
  // kv outlives the scheduler, which alone changes it.
  Scheduler(const SchedulerLimits& limits, BlockAllocator& kv);

  // kInvalidArgument if the sequence can never fit the pool, kCapacity if the queue is full. Ids are never reused.
  Status submit(const NewSequence& sequence);
  // kCapacity if so many sequences more, submitted now, would find the queue full.
  Status check_room(int sequences) const;
  // The next row in which a running sequence decodes may carry up to `drafts` guesses, as far as a step has tokens,
  // logits and free blocks left when everybody has a row. Ignored for a sequence that does not run; holds until the
  // sequence's next commit or preemption. Not during a step.
  void offer_drafts(SeqId seq, int drafts);
  // The next step; nullopt when there is no sequence at all.
  std::optional<StepPlan> plan();
  // The step ran. outcomes: one per row.
  void commit(StepPlan plan, std::span<const RowOutcome> outcomes);
  // The step failed: nothing of it counts.
  void rollback(StepPlan plan);
  // Takes a sequence out, whatever its state (cancelled, failed); an unknown one is ignored. Not during a step.
  void remove(SeqId seq);
  // Takes out all whose time is up at `now`, and names them. Not during a step.
  std::vector<SeqId> expire(int64_t now);

  int running() const { return static_cast<int>(running_.size()); }
  int waiting() const { return static_cast<int>(waiting_.size()); }

  // Every broken invariant as a sentence; empty when all is well. Meant for tests, between steps.
  std::vector<std::string> violations() const;

 private:
  struct Sequence {
    SeqId id = 0;
    int64_t key = 0;       // static, so that the order of two never changes; equal ones by arrival
    uint64_t arrival = 0;  // order of submit()
    FairShare::Tenant tenant = 0;
    int64_t start_by = kNever, finish_by = kNever;
    SeqId twin = 0;
    int prompt = 0;
    int total = 0;  // known tokens: prompt and generated
    int max_tokens = 0;
    int computed = 0;      // tokens in the KV cache
    int logits_from = 0;   // first position whose logits nobody has seen yet
    int unseen = 0;        // first position of which something is wanted that nobody has seen yet
    int drafts = 0;        // on offer
    bool started = false;  // has run
    std::vector<PrefixHash> prefix = {};
    int pending() const { return total - computed; }
    bool before(const Sequence& s) const { return key != s.key ? key < s.key : arrival < s.arrival; }
  };
  struct Draft;  // a plan in the making
  struct Start;  // what of a newcomer's text is there already

  void plan_decodes(Draft& draft);
  void plan_prompts(Draft& draft);
  void admit(Draft& draft);
  void grant_drafts(Draft& draft);
  bool add_row(Draft& draft, size_t index, int count);
  int chunk_limit(const Draft& draft, const Sequence& s) const;
  bool make_room(Draft& draft, size_t index, int blocks);
  void preempt_last(Draft& draft);
  size_t next_waiting() const;
  Start start_of(const Sequence& s) const;
  bool newcomer_fits(const Start& start) const;
  size_t run(size_t waiting, const Start& start);
  void wait(Sequence sequence);
  int decoding() const;
  const Sequence* find_running(SeqId seq) const;
  Sequence* find_running(SeqId seq) { return const_cast<Sequence*>(std::as_const(*this).find_running(seq)); }

  const SchedulerLimits limits_;
  BlockAllocator& kv_;
  std::vector<Sequence> running_;  // in order of Sequence::before
  std::deque<Sequence> waiting_;   // likewise; preempted ones return to their place
  FairShare shares_;               // knows all of both; looked at by kFair only
  int64_t next_expiry_ = kNever;   // nothing expires before
  uint64_t arrivals_ = 0;
  bool in_step_ = false;
};

}  // namespace ferrum
