#include "sched/scheduler.h"

#include <algorithm>
#include <map>

namespace ferrum {

// Rows are kept with what they take, so that a preemption can refund it.
struct Scheduler::Draft {
  StepPlan plan;
  std::vector<int> row_blocks;  // new blocks of each row
  int tokens_left = 0;
  int prompt_left = 0;  // of them, those that prompts may take
  int scores_left = 0;  // logits for prompt scoring; one per running sequence is set aside for sampling
  int free_blocks = 0;
  bool pool_is_short = false;  // somebody was preempted

  bool has_row(SeqId seq) const {
    return std::any_of(plan.rows.begin(), plan.rows.end(), [&](const PlannedRow& r) { return r.seq == seq; });
  }
  static int scores_of(const PlannedRow& r) { return r.logit_count - (r.samples ? 1 : 0); }
};

void StepPlan::give_up_drafts(size_t row, int drafts) {
  PlannedRow& r = rows[row];
  FERRUM_CHECK(0 <= drafts && drafts <= r.drafts, "a row gives up guesses that it has not");
  for (int* count : {&r.drafts, &r.count, &r.logit_count, &num_tokens, &num_logits}) *count -= drafts;
}

Scheduler::Scheduler(const SchedulerLimits& limits, BlockAllocator& kv) : limits_(limits), kv_(kv) {
  FERRUM_CHECK(limits.max_seqs >= 1 && limits.max_batched_tokens >= 1 && limits.max_waiting >= 0, "scheduler limits");
  FERRUM_CHECK(limits.max_logits > limits.max_seqs, "prompt scoring needs a logit beside those of the sampling rows");
}

Status Scheduler::submit(const NewSequence& n) {
  FERRUM_CHECK(n.prompt_tokens >= 1 && n.max_tokens >= n.prompt_tokens,
               "a sequence needs a prompt and its length limit");
  // The last token that is generated is never fed back, so it needs no place.
  const int stored = std::max(n.prompt_tokens, n.max_tokens - 1);
  if (kv_.blocks_for(stored) > kv_.num_blocks()) {
    return invalid_argument("the request can grow to " + std::to_string(n.max_tokens) + " tokens, which takes " +
                            std::to_string(kv_.blocks_for(stored)) + " KV blocks; the pool has " +
                            std::to_string(kv_.num_blocks()) + " (" + std::to_string(kv_.block_size()) +
                            " tokens each): shorten the prompt, lower max_tokens or give the engine more KV memory");
  }
  FERRUM_RETURN_IF_ERROR(check_room(1));
  Sequence s{.id = n.id,
             .arrival = arrivals_++,
             .tenant = shares_.enter(n.tenant),
             .start_by = n.start_by,
             .finish_by = n.finish_by,
             .twin = n.twin,
             .prompt = n.prompt_tokens,
             .total = n.prompt_tokens,
             .max_tokens = n.max_tokens,
             .logits_from = n.score_prompt ? 0 : n.prompt_tokens - 1,
             .unseen = n.score_prompt || n.whole_prompt ? 0 : n.prompt_tokens - 1,
             .prefix = n.prefix};
  if (limits_.policy != QueuePolicy::kFcfs) s.key = n.submitted + n.priority * limits_.ageing_ns;
  next_expiry_ = std::min({next_expiry_, s.start_by, s.finish_by});
  wait(std::move(s));
  return Status::ok();
}

Status Scheduler::check_room(int sequences) const {
  const int64_t would_wait = int64_t{waiting()} + sequences - 1;  // in front of the last of them
  if (would_wait < limits_.max_waiting || running() + would_wait < limits_.max_seqs) return Status::ok();
  return capacity_exceeded("the queue is full: " + std::to_string(running()) + " requests run and " +
                           std::to_string(waiting()) + " wait (limit " + std::to_string(limits_.max_waiting) +
                           "); try again later");
}

// To its place among those that wait.
void Scheduler::wait(Sequence sequence) {
  const auto place = std::upper_bound(waiting_.begin(), waiting_.end(), sequence,
                                      [](const Sequence& a, const Sequence& b) { return a.before(b); });
  waiting_.insert(place, std::move(sequence));
}

void Scheduler::offer_drafts(SeqId seq, int drafts) {
  FERRUM_CHECK(!in_step_ && drafts >= 0, "offer_drafts() during a step");
  if (Sequence* s = find_running(seq)) s->drafts = drafts;
}

std::optional<StepPlan> Scheduler::plan() {
  FERRUM_CHECK(!in_step_, "plan() during a step");
  Draft draft;
  draft.tokens_left = draft.prompt_left = limits_.max_batched_tokens;
  draft.scores_left = limits_.max_logits - limits_.max_seqs;
  draft.free_blocks = kv_.free_blocks();
  const int active = decoding();
  if (limits_.active_decode_prefill_chunk > 0 && active > 0) {
    draft.prompt_left = std::min(draft.prompt_left, limits_.active_decode_prefill_chunk);
  }
  if (active < limits_.prefill_first_until_active) {
    // But for the oldest sequence, which must progress in every step.
    if (!running_.empty() && running_.front().pending() == 1) add_row(draft, 0, 1);
    plan_prompts(draft);
    admit(draft);
    plan_decodes(draft);
  } else {
    plan_decodes(draft);
    plan_prompts(draft);
    admit(draft);
  }
  grant_drafts(draft);
  if (draft.plan.rows.empty()) {
    FERRUM_CHECK(running_.empty() && waiting_.empty(), "sequences, but no row for any of them");
    return std::nullopt;
  }
  std::vector<Growth> growths;
  for (const PlannedRow& r : draft.plan.rows) {
    growths.push_back({r.seq, r.begin + r.count});
    draft.plan.num_tokens += r.count;
    draft.plan.num_logits += r.logit_count;
  }
  Result<KvReservation> reservation = kv_.reserve(growths);
  FERRUM_CHECK(reservation.is_ok(), "planned rows do not fit: " + reservation.status().message());
  draft.plan.reservation = std::move(reservation).value();
  draft.plan.moves = kv_.take_moves();
  in_step_ = true;
  return std::move(draft.plan);
}

int Scheduler::decoding() const {
  return static_cast<int>(
      std::count_if(running_.begin(), running_.end(), [](const Sequence& s) { return s.pending() == 1; }));
}

void Scheduler::plan_decodes(Draft& draft) {
  // One token is kept for the oldest sequence while it reads its prompt: it must progress in every step.
  const int kept = !running_.empty() && running_.front().pending() > 1 ? 1 : 0;
  for (size_t i = 0; i < running_.size() && draft.tokens_left > kept; ++i) {
    if (running_[i].pending() == 1 && !draft.has_row(running_[i].id)) add_row(draft, i, 1);
  }
}

void Scheduler::plan_prompts(Draft& draft) {
  for (size_t i = 0; i < running_.size() && draft.tokens_left > 0; ++i) {
    const int count = chunk_limit(draft, running_[i]);
    if (running_[i].pending() > 1 && count > 0) add_row(draft, i, count);
  }
}

// What of a newcomer's text needs no computing: what a twin has read, or the cache holds.
struct Scheduler::Start {
  int tokens = 0;
  int blocks_to_take = 0;  // of the free ones, for all of its known tokens
  const Sequence* twin = nullptr;
  PrefixMatch match;
  bool soon = false;  // a twin still reads what can then be shared
};

// What nobody has seen must be computed, at least the logits of the last known token.
Scheduler::Start Scheduler::start_of(const Sequence& s) const {
  Start start;
  start.match = kv_.match(s.prefix, s.unseen);
  start.tokens = start.match.blocks * kv_.block_size();
  start.blocks_to_take = kv_.blocks_for(s.total) - start.match.blocks + start.match.idle;
  const Sequence* twin = s.twin == 0 ? nullptr : find_running(s.twin);
  const int shared = std::min(s.prompt - 1, s.unseen);
  if (twin == nullptr || shared <= start.tokens) return start;
  if (twin->computed < shared) {
    start.soon = true;
  } else if (kv_.can_fork(twin->id, shared)) {
    const int copied = shared % kv_.block_size() == 0 ? 0 : 1;
    start = {shared, kv_.blocks_for(s.total) - kv_.blocks_for(shared) + copied, twin, {}, false};
  }
  return start;
}

// Under kFair the first sequence of the tenant that was served least; else the first one.
size_t Scheduler::next_waiting() const {
  if (limits_.policy != QueuePolicy::kFair) return 0;
  size_t next = 0;
  for (size_t i = 1; i < waiting_.size(); ++i) {
    if (shares_.served(waiting_[i].tenant) < shares_.served(waiting_[next].tenant)) next = i;
  }
  return next;
}

void Scheduler::admit(Draft& draft) {
  // A victim must not come back in the step that preempted it.
  if (draft.pool_is_short) return;
  while (!waiting_.empty() && running() < limits_.max_seqs && draft.tokens_left > 0) {
    const size_t index = next_waiting();
    Sequence& next = waiting_[index];
    const Start start = start_of(next);
    next.computed = start.tokens;
    const int count = chunk_limit(draft, next);
    const bool fits = !start.soon && count > 0 && newcomer_fits(start);
    // Nothing else would run in an empty step, so it is cut there even then.
    const bool waits = limits_.whole_prompts && count < next.pending() && next.pending() <= limits_.max_batched_tokens;
    if (!fits || (waits && !running_.empty())) {
      next.computed = 0;
      return;
    }
    draft.free_blocks -= start.match.idle;
    add_row(draft, run(index, start), count);
  }
}

// Admission: from waiting_ to its place in running_, which is returned.
size_t Scheduler::run(size_t waiting, const Start& start) {
  Sequence s = std::move(waiting_[waiting]);
  waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(waiting));
  if (start.twin != nullptr) {
    kv_.fork(start.twin->id, s.id);
    kv_.truncate(s.id, start.tokens);
  } else {
    kv_.attach(s.id, s.prefix, start.match);
  }
  // Charged as a whole, so that one tenant does not fill the step before its counter has moved; what is read again
  // after a preemption is not the tenant's doing.
  if (!s.started) shares_.charge(s.tenant, FairShare::kInputWeight * static_cast<uint64_t>(s.total - s.computed));
  s.started = true;
  shares_.start(s.tenant);
  const auto place = std::upper_bound(running_.begin(), running_.end(), s,
                                      [](const Sequence& a, const Sequence& b) { return a.before(b); });
  const auto index = static_cast<size_t>(place - running_.begin());
  running_.insert(place, std::move(s));
  return index;
}

// Guesses take what is left, so they cost nobody a row, a place or a block.
void Scheduler::grant_drafts(Draft& draft) {
  for (PlannedRow& row : draft.plan.rows) {
    if (draft.tokens_left == 0 || draft.scores_left == 0) return;
    const Sequence& s = *find_running(row.seq);
    if (s.drafts == 0 || s.pending() != 1) continue;
    // The last token that is generated is never fed back.
    const int useful = std::min(s.drafts, s.max_tokens - s.total - 1);
    const int64_t held = kv_.blocks_for(s.computed + 1);
    const int64_t room = (held + draft.free_blocks) * kv_.block_size() - (s.computed + 1);
    row.drafts = static_cast<int>(std::min<int64_t>({useful, draft.tokens_left, draft.scores_left, room}));
    row.count += row.drafts;
    row.logit_count += row.drafts;
    draft.tokens_left -= row.drafts;
    draft.scores_left -= row.drafts;
    draft.free_blocks -= kv_.blocks_for(s.computed + row.count) - static_cast<int>(held);
  }
}

// Admission leaves room for every token that is known already and for one block more per running sequence: a newcomer
// that would be preempted at once costs everybody its prompt.
bool Scheduler::newcomer_fits(const Start& start) const {
  int owed = running();
  for (const Sequence& r : running_) owed += kv_.missing({r.id, r.total});
  return running_.empty() || kv_.free_blocks() - owed >= start.blocks_to_take;
}

// How many pending tokens may go into one row, by tokens and by logits; blocks are not considered.
int Scheduler::chunk_limit(const Draft& draft, const Sequence& s) const {
  const int before_scores = std::max(0, s.logits_from - s.computed);
  int64_t by_logits = int64_t{before_scores} + draft.scores_left;
  if (by_logits + 1 >= s.pending()) by_logits = s.pending();  // the last position is the sampling one
  const int by_tokens = s.pending() == 1 ? draft.tokens_left : std::min(draft.tokens_left, draft.prompt_left);
  return static_cast<int>(std::min<int64_t>({s.pending(), by_tokens, by_logits}));
}

// Adds up to `count` tokens of running_[index], as many as blocks can be found for; false if there is not one.
bool Scheduler::add_row(Draft& draft, size_t index, int count) {
  const Sequence& s = running_[index];
  const auto blocks_of = [&](int tokens) { return kv_.missing({s.id, s.computed + tokens}); };
  if (!make_room(draft, index, blocks_of(count))) {
    const int64_t room = kv_.reach(s.id, draft.free_blocks) - s.computed;
    count = static_cast<int>(std::min<int64_t>(count, room));
    if (count < 1) return false;
  }
  const int end = s.computed + count;
  PlannedRow row{s.id, s.computed, count, std::max(0, end - std::max(s.logits_from, s.computed)), end == s.total};
  draft.tokens_left -= count;
  if (s.pending() > 1) draft.prompt_left -= count;
  draft.scores_left -= Draft::scores_of(row);
  draft.free_blocks -= blocks_of(count);
  draft.row_blocks.push_back(blocks_of(count));
  draft.plan.rows.push_back(row);
  return true;
}

// Frees blocks for running_[index] at the cost of later sequences only.
bool Scheduler::make_room(Draft& draft, size_t index, int blocks) {
  while (draft.free_blocks < blocks && running_.size() > index + 1) preempt_last(draft);
  return draft.free_blocks >= blocks;
}

void Scheduler::preempt_last(Draft& draft) {
  Sequence victim = std::move(running_.back());
  running_.pop_back();
  for (size_t r = 0; r < draft.plan.rows.size(); ++r) {
    const PlannedRow& row = draft.plan.rows[r];
    if (row.seq != victim.id) continue;
    draft.tokens_left += row.count;
    if (victim.pending() > 1) draft.prompt_left += row.count;
    draft.scores_left += Draft::scores_of(row);
    draft.free_blocks += draft.row_blocks[r];
    draft.plan.rows.erase(draft.plan.rows.begin() + static_cast<std::ptrdiff_t>(r));
    draft.row_blocks.erase(draft.row_blocks.begin() + static_cast<std::ptrdiff_t>(r));
    break;
  }
  const int free_before = kv_.free_blocks();
  kv_.release(victim.id);
  draft.free_blocks += kv_.free_blocks() - free_before;
  draft.pool_is_short = true;
  draft.plan.preempted.push_back(victim.id);
  victim.computed = 0;
  victim.drafts = 0;
  shares_.requeue(victim.tenant);
  wait(std::move(victim));
}

void Scheduler::commit(StepPlan plan, std::span<const RowOutcome> outcomes) {
  FERRUM_CHECK(in_step_ && outcomes.size() == plan.rows.size(), "commit() of another step");
  in_step_ = false;
  for (size_t i = 0; i < outcomes.size(); ++i) {
    const PlannedRow& row = plan.rows[i];
    const RowOutcome& outcome = outcomes[i];
    Sequence* s = find_running(row.seq);
    FERRUM_CHECK(s != nullptr, "commit() of a sequence that does not run");
    // What was guessed wrong, and all behind it, was computed in vain.
    s->computed = row.begin + row.count - row.drafts + std::max(0, outcome.new_tokens - 1);
    kv_.truncate(s->id, s->computed);
    s->prefix.insert(s->prefix.end(), outcome.prefix.begin(), outcome.prefix.end());
    kv_.publish(s->id, s->prefix);
    shares_.charge(s->tenant, FairShare::kOutputWeight * static_cast<uint64_t>(outcome.new_tokens));
    if (outcome.finished) {
      remove(row.seq);
      continue;
    }
    kv_.drop_unseen(s->id);
    FERRUM_CHECK(
        row.samples ? 1 <= outcome.new_tokens && outcome.new_tokens <= 1 + row.drafts : outcome.new_tokens == 0,
        "a row that samples adds a token and at most its drafts, or it finishes");
    s->drafts = 0;
    s->logits_from = std::max(s->logits_from, s->computed);
    s->unseen = std::max(s->unseen, s->computed);
    s->total += outcome.new_tokens;
    FERRUM_CHECK(s->total <= s->max_tokens, "a sequence grew beyond its limit");
  }
}

void Scheduler::rollback(StepPlan plan) {
  FERRUM_CHECK(in_step_, "rollback() outside a step");
  in_step_ = false;
  kv_.rollback(std::move(plan.reservation));
}

void Scheduler::remove(SeqId seq) {
  FERRUM_CHECK(!in_step_, "remove() during a step");
  kv_.release(seq);
  const auto is_it = [&](const Sequence& s) { return s.id == seq; };
  if (const auto it = std::find_if(running_.begin(), running_.end(), is_it); it != running_.end()) {
    shares_.leave(it->tenant);
    running_.erase(it);
  } else if (const auto w = std::find_if(waiting_.begin(), waiting_.end(), is_it); w != waiting_.end()) {
    shares_.start(w->tenant);
    shares_.leave(w->tenant);
    waiting_.erase(w);
  }
}

std::vector<SeqId> Scheduler::expire(int64_t now) {
  FERRUM_CHECK(!in_step_, "expire() during a step");
  std::vector<SeqId> expired;
  if (now < next_expiry_) return expired;
  next_expiry_ = kNever;
  const auto look_at = [&](const Sequence& s) {
    const int64_t end = s.started ? s.finish_by : std::min(s.start_by, s.finish_by);
    if (end <= now) {
      expired.push_back(s.id);
    } else {
      next_expiry_ = std::min(next_expiry_, end);
    }
  };
  std::for_each(running_.begin(), running_.end(), look_at);
  std::for_each(waiting_.begin(), waiting_.end(), look_at);
  for (const SeqId id : expired) remove(id);
  return expired;
}

const Scheduler::Sequence* Scheduler::find_running(SeqId seq) const {
  const auto it = std::find_if(running_.begin(), running_.end(), [&](const Sequence& s) { return s.id == seq; });
  return it == running_.end() ? nullptr : &*it;
}

std::vector<std::string> Scheduler::violations() const {
  std::vector<std::string> found = kv_.violations();
  if (running() > limits_.max_seqs) found.push_back("more sequences run than max_seqs");
  const auto check_order = [&](const auto& list) {
    for (size_t i = 1; i < list.size(); ++i) {
      if (list[i].before(list[i - 1])) found.push_back("sequence " + std::to_string(list[i].id) + " is out of order");
    }
  };
  check_order(running_);
  check_order(waiting_);
  if (limits_.policy == QueuePolicy::kFcfs && !running_.empty() && !waiting_.empty() &&
      waiting_.front().before(running_.back())) {
    found.push_back("sequence " + std::to_string(running_.back().id) + " runs before one that came first");
  }
  int blocks = 0;
  std::map<FairShare::Tenant, int> waiting_of;
  for (const Sequence& s : running_) {
    const std::string who = "running sequence " + std::to_string(s.id);
    if (s.pending() < 1) found.push_back(who + " has nothing to compute");
    if (s.computed != kv_.length(s.id)) found.push_back(who + " and its KV disagree on its length");
    if (s.total > s.max_tokens) found.push_back(who + " is longer than its limit");
    blocks += static_cast<int>(kv_.table(s.id).size());
    waiting_of[s.tenant];
  }
  for (const Sequence& s : waiting_) {
    ++waiting_of[s.tenant];
    if (s.computed != 0 || kv_.length(s.id) != 0)
      found.push_back("waiting sequence " + std::to_string(s.id) + " holds KV");
  }
  for (const auto& [tenant, count] : waiting_of) {
    if (shares_.waiting(tenant) != count) found.push_back("a tenant's waiting sequences are miscounted");
  }
  if (kv_.used_blocks() > blocks) found.push_back("KV blocks belong to no running sequence");
  return found;
}

}  // namespace ferrum
