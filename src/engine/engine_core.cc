#include "engine/engine_core.h"

#include <algorithm>
#include <exception>
#include <random>

#include "base/log.h"
#include "sched/batch_builder.h"
#include "tensor/slice.h"

namespace ferrum {
namespace {

PrefixHash random_key() {
  std::random_device device;
  const auto word = [&] { return (uint64_t{device()} << 32) | device(); };
  return {word(), word()};
}

Status shutting_down() { return capacity_exceeded("the engine is shutting down and takes no new requests"); }

InputText text_of(const Request& request) {
  if (!request.embeddings) return request.prompt;
  const auto rows = static_cast<size_t>(std::ranges::count(request.prompt, kNoToken));
  return {request.prompt, *request.embeddings, request.embeddings->size() / rows};
}

// A draft model reads ids.
SpeculationParams without_draft_model(SpeculationParams params) {
  if (params.mode == SpeculationMode::kDraft) params.mode = SpeculationMode::kOff;
  if (params.mode == SpeculationMode::kBoth) params.mode = SpeculationMode::kNgram;
  return params;
}

int64_t deadline(int64_t now, double seconds) {
  return seconds == 0 ? kNever : now + static_cast<int64_t>(seconds * 1e9);
}

}  // namespace

EngineCore::EngineCore(const CoreOptions& options, std::unique_ptr<StepRunner> runner,
                       std::shared_ptr<const Tokenizer> tokenizer, std::shared_ptr<OpProfile> profile,
                       std::unique_ptr<DraftModel> draft_model)
    : options_(options),
      runner_(std::move(runner)),
      draft_model_(std::move(draft_model)),
      tokenizer_(std::move(tokenizer)),
      prefix_key_(random_key()),
      recorder_(options.record, std::move(profile)),
      kv_(options.num_blocks, options.block_size, options.window, options.swap ? options.swap->places() : 0),
      scheduler_(options.scheduler, kv_) {}

EngineCore::~EngineCore() { shut_down(); }

// Tenants cannot reach each other's text by their choice of salt.
PrefixChain EngineCore::text_chain(const std::string& tenant, const std::string& cache_salt) const {
  const bool nobodys = tenant.empty() && cache_salt.empty();
  const std::string salt = nobodys ? "" : std::to_string(tenant.size()) + ":" + tenant + cache_salt;
  return PrefixChain(prefix_key_, salt, options_.block_size);
}

NewSequence EngineCore::entry_of(const Request& request, int length) const {
  const int64_t now = options_.clock();
  return {.prompt_tokens = static_cast<int>(request.prompt.size()),
          .max_tokens = length,
          .score_prompt = request.prompt_logprobs,
          .whole_prompt = request.hidden != HiddenStates::kNone && request.hidden_of != HiddenPositions::kLast,
          .submitted = now,
          .priority = request.priority,
          .tenant = request.tenant,
          .start_by = deadline(now, request.queue_timeout_seconds),
          .finish_by = deadline(now, request.timeout_seconds)};
}

Result<std::vector<RequestId>> EngineCore::submit(Request request, std::vector<EventSink> choices) {
  FERRUM_CHECK(!choices.empty(), "a request without an event sink");
  FERRUM_RETURN_IF_ERROR(check_request(request, options_.requests));
  const auto n = static_cast<int>(choices.size());
  if (n > options_.scheduler.max_seqs + options_.scheduler.max_waiting) {
    return invalid_argument("n is " + std::to_string(n) + ", but the engine takes at most " +
                            std::to_string(options_.scheduler.max_seqs + options_.scheduler.max_waiting) +
                            " choices at once");
  }
  const int length = final_length(request, options_.requests);
  if (!request.speculation) request.speculation = options_.speculation;
  if (request.embeddings) request.speculation = without_draft_model(*request.speculation);
  PrefixChain chain;
  const RequestId first = last_id_.fetch_add(static_cast<RequestId>(n)) + 1;
  if (options_.prefix_cache) {
    chain = text_chain(request.tenant, request.cache_salt);
  } else if (options_.swap) {  // names that no other request has, by which it finds its own blocks after a preemption
    chain = PrefixChain(siphash128(std::as_bytes(std::span(&first, 1)), prefix_key_), "", options_.block_size);
  }
  NewSequence entry = entry_of(request, length);
  entry.prefix = chain.extend(text_of(request));
  std::vector<std::unique_ptr<Sequence>> sequences;
  for (int i = 0; i < n; ++i) {
    EventSink& sink = choices[static_cast<size_t>(i)];
    FERRUM_CHECK(sink != nullptr, "a request without an event sink");
    Request choice = request;
    if (choice.sampling.seed) *choice.sampling.seed += static_cast<uint64_t>(i);
    sequences.push_back(std::make_unique<Sequence>(first + static_cast<RequestId>(i), std::move(choice),
                                                   std::move(sink), tokenizer_, length, chain));
  }
  std::vector<RequestId> ids;
  {
    std::lock_guard lock(mutex_);
    if (draining_ || stopping_) return shutting_down();
    FERRUM_RETURN_IF_ERROR(scheduler_.check_room(n));
    for (auto& sequence : sequences) {
      entry.id = sequence->id();
      entry.twin = entry.id == first ? 0 : first;
      FERRUM_RETURN_IF_ERROR(scheduler_.submit(entry));  // the first, or none
      ids.push_back(entry.id);
      recorder_.queued(entry.id, entry.prompt_tokens);
      sequences_.emplace(entry.id, std::move(sequence));
    }
    publish_room();
  }
  work_.notify_one();
  return ids;
}

Result<RequestId> EngineCore::submit(Request request, EventSink sink) {
  std::vector<EventSink> one;
  one.push_back(std::move(sink));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<RequestId> ids, submit(std::move(request), std::move(one)));
  return ids.front();
}

Status EngineCore::check_room() const {
  switch (room_.load()) {
    case Room::kFree: return Status::ok();
    case Room::kClosed: return shutting_down();
    case Room::kFull: break;
  }
  return capacity_exceeded("the queue is full: " + std::to_string(options_.scheduler.max_waiting) +
                           " requests wait; try again later");
}

// With the lock, after everything that changes the queue.
void EngineCore::publish_room() {
  const bool full = !scheduler_.check_room(1).is_ok();
  room_ = draining_ || stopping_ ? Room::kClosed : full ? Room::kFull : Room::kFree;
  retry_after_ = rate_.seconds_for(1 + scheduler_.waiting() / 2);
}

void EngineCore::cancel(RequestId request) {
  {
    std::lock_guard lock(mutex_);
    const bool known = sequences_.count(request) != 0;
    if (!known || std::find(cancels_.begin(), cancels_.end(), request) != cancels_.end()) return;
    cancels_.push_back(request);
  }
  work_.notify_one();
}

Status EngineCore::warm_up() {
  constexpr int kTokens = 32;  // every matrix is read, and by several tokens at once
  const int room = std::min(options_.num_blocks * options_.block_size, options_.requests.max_model_len) - 1;
  const std::vector<TokenId> tokens(static_cast<size_t>(std::clamp(room, 1, kTokens)), 0);
  // A pool of the same shape, whose blocks nobody holds yet.
  BlockAllocator kv(options_.num_blocks, options_.block_size, options_.window);
  Scheduler scheduler(options_.scheduler, kv);
  const auto length = static_cast<int>(tokens.size());
  FERRUM_RETURN_IF_ERROR(scheduler.submit({.id = 1, .prompt_tokens = length, .max_tokens = length + 1}));
  const std::optional<StepPlan> plan = scheduler.plan();
  return runner_->run(build_batch(*plan, kv, [&](SeqId) { return std::span(tokens); })).status();
}

void EngineCore::start() {
  FERRUM_CHECK(!thread_.joinable(), "the engine runs already");
  thread_ = std::thread([this] { thread_main(); });
}

void EngineCore::thread_main() {
  while (true) {
    {
      std::unique_lock lock(mutex_);
      work_.wait(lock, [&] {
        return stopping_ || !cancels_.empty() || !visits_.empty() || scheduler_.running() + scheduler_.waiting() > 0;
      });
      if (stopping_) return;
    }
    make_visits();
    run_step();
  }
}

void EngineCore::drain() {
  std::unique_lock lock(mutex_);
  draining_ = true;
  publish_room();
  if (thread_.joinable()) {
    idle_.wait(lock, [&] { return sequences_.empty(); });
    return;
  }
  lock.unlock();
  while (run_step()) {
  }
}

Result<bool> EngineCore::step() {
  if (thread_.joinable()) return invalid_argument("step() of an engine that runs on its own thread");
  return run_step();
}

bool EngineCore::run_step() {
  recorder_.begin_step();
  Step step = begin_step();
  if (!step.plan && step.touched.empty()) return false;
  const bool runs = step.plan.has_value();
  std::vector<SeqId> preempted;
  if (runs) {
    preempted = step.plan->preempted;
    draft(step);
    build(step);
    run(step);
  }
  deliver(step);
  recorder_.end_phase(StepPhase::kDeliver);
  if (runs) recorder_.end_step(step.record, step.recorded, preempted);
  forget_finished(step);
  return true;
}

EngineCore::Step EngineCore::begin_step() {
  std::lock_guard lock(mutex_);
  Step step;
  step.began = options_.clock();
  apply_cancels(step);
  apply_deadlines(step);
  if (options_.swap) kv_.set_swapping(options_.swap->pays());
  step.plan = scheduler_.plan();
  publish_room();
  if (!step.plan) return step;
  for (const PlannedRow& row : step.plan->rows) {
    Sequence* sequence = sequences_.at(row.seq).get();
    sequence->note_scheduled(row);
    step.rows.push_back(sequence);
    step.touched.push_back(sequence);
  }
  stats_.preemptions += step.plan->preempted.size();
  step.record.token_budget = options_.scheduler.max_batched_tokens;
  step.record.running = scheduler_.running();
  step.record.waiting = scheduler_.waiting();
  step.record.kv_used = kv_.used_blocks();
  step.record.kv_total = kv_.num_blocks();
  recorder_.end_phase(StepPhase::kPlan);
  return step;
}

// Swap space and files hold the target's KV only.
void EngineCore::forget_drafts(std::span<const KvMove> moves) {
  if (!draft_model_) return;
  for (const KvMove& move : moves) {
    if (move.kind == KvMove::kIn) draft_model_->forget(move.block);
  }
}

// Without the lock: nobody else changes tables, nor the sequences of a step.
void EngineCore::draft(Step& step) {
  if (!draft_model_) return;
  forget_drafts(step.plan->moves);
  draft_model_->guess(*step.plan, step.rows, kv_, costs_);
  recorder_.end_phase(StepPhase::kDraft);
}

void EngineCore::build(Step& step) {
  std::lock_guard lock(mutex_);
  step.batch = build_batch(*step.plan, kv_, [&](SeqId id) { return sequences_.at(id)->text(); });
  for (size_t i = 0; i < step.rows.size(); ++i) {
    step.batch.rows[i].hidden = step.rows[i]->wanted_states(step.plan->rows[i]);
  }
  record_rows(step);
  recorder_.end_phase(StepPhase::kBuild);
}

void EngineCore::record_rows(Step& step) {
  for (size_t i = 0; i < step.rows.size(); ++i) {
    const PlannedRow& row = step.plan->rows[i];
    const int of_prompt = std::clamp(step.rows[i]->prompt_tokens() - row.begin, 0, row.count);
    RecordedRow recorded{row.seq, !row.samples || of_prompt > 0, row.count, of_prompt};
    recorded.source = step.rows[i]->guess_source();
    recorded.drafted = row.drafts;
    step.recorded.push_back(recorded);
  }
}

void EngineCore::apply_cancels(Step& step) {
  for (const RequestId id : cancels_) {
    const auto it = sequences_.find(id);
    if (it == sequences_.end()) continue;  // finished in the meantime
    scheduler_.remove(id);
    it->second->finish(FinishReason::kCancelled);
    step.touched.push_back(it->second.get());
  }
  cancels_.clear();
}

void EngineCore::apply_deadlines(Step& step) {
  for (const RequestId id : scheduler_.expire(step.began)) {
    Sequence* sequence = sequences_.at(id).get();
    sequence->finish(FinishReason::kTimeout,
                     cancelled(sequence->started() ? "the request's time was up before the answer was complete"
                                                   : "the request's time was up before its turn came"));
    ++stats_.requests_timed_out;
    step.touched.push_back(sequence);
  }
}

// The transaction: all rows count, or none does.
void EngineCore::run(Step& step) {
  const bool reads =
      std::any_of(step.recorded.begin(), step.recorded.end(), [](const RecordedRow& row) { return row.reads_prompt; });
  recorder_.begin_forward(reads);
  if (options_.swap) {
    if (const Status moved = options_.swap->make(step.plan->moves, *runner_); !moved.is_ok()) {
      fail(step, moved);
      return forget_contents();
    }
  }
  const auto began = std::chrono::steady_clock::now();
  const Result<StepOutput> output = runner_->run(step.batch);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  if (options_.swap && reads) options_.swap->note_step(step.batch.num_tokens(), seconds);
  recorder_.end_phase(StepPhase::kForward);
  if (!output.is_ok()) return fail(step, output.status());
  if (options_.measure_costs && !reads) costs_.add_step(step.batch.num_tokens(), seconds);
  const std::string fault = runner_->fault();
  std::vector<RowOutcome> outcomes;
  for (size_t i = 0; i < step.rows.size(); ++i) {
    const Row& row = step.batch.rows[i];
    StepOutput part{slice(output->logits, row.logit_begin, row.logit_count)};
    if (row.hidden != HiddenStates::kNone) part.hidden = slice(output->hidden, row.q_begin, row.q_len);
    outcomes.push_back(step.rows[i]->consume(step.plan->rows[i], part, scratch_));
    if (!fault.empty()) step.rows[i]->explain_error(fault);
  }
  guess_on(step);
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < step.rows.size(); ++i) {
    step.recorded[i].generated = outcomes[i].new_tokens;
    stats_.prompt_tokens += static_cast<uint64_t>(step.recorded[i].prompt_tokens);
    stats_.generated_tokens += static_cast<uint64_t>(outcomes[i].new_tokens);
    count_guesses(step.recorded[i], outcomes[i].new_tokens);
  }
  if (draft_model_) stats_.draft_model = draft_model_->work();
  ++stats_.steps;
  const auto finished = std::count_if(outcomes.begin(), outcomes.end(), [](const RowOutcome& o) { return o.finished; });
  rate_.add(static_cast<double>(options_.clock() - step.began) / 1e9, static_cast<int>(finished));
  scheduler_.commit(std::move(*step.plan), outcomes);
  for (const Sequence* sequence : step.rows) {
    const int wanted = sequence->wanted_guesses();
    if (!sequence->finished() && wanted > 0) scheduler_.offer_drafts(sequence->id(), wanted);
  }
  publish_room();
  recorder_.end_phase(StepPhase::kSample);
}

void EngineCore::count_guesses(RecordedRow& row, int new_tokens) {
  if (row.drafted == 0) return;
  row.accepted = std::max(0, new_tokens - 1);
  GuessCounts& counts = stats_.guesses[static_cast<size_t>(row.source)];
  ++counts.drafts;
  counts.drafted_tokens += static_cast<uint64_t>(row.drafted);
  counts.accepted_tokens += static_cast<uint64_t>(row.accepted);
}

void EngineCore::guess_on(const Step& step) {
  int decoding = 0, drafting = 0;
  for (size_t i = 0; i < step.rows.size(); ++i) {
    const RecordedRow& row = step.recorded[i];
    decoding += step.plan->rows[i].samples ? 1 : 0;
    drafting += row.drafted > 0 && row.source == GuessSource::kDraft ? 1 : 0;
  }
  const GuessPrices prices = costs_.prices(decoding, drafting);
  for (size_t i = 0; i < step.rows.size(); ++i) {
    if (step.plan->rows[i].samples && !step.rows[i]->finished()) step.rows[i]->guess(prices);
  }
}

void EngineCore::fail(Step& step, const Status& why) {
  spdlog::error("a step of {} rows failed: {}", step.rows.size(), why.message());
  step.record.failed = true;
  std::lock_guard lock(mutex_);
  scheduler_.rollback(std::move(*step.plan));
  for (Sequence* sequence : step.rows) {
    scheduler_.remove(sequence->id());
    sequence->finish(FinishReason::kError, why.with_context("the forward pass failed"));
  }
  publish_room();
}

// Of the cache: after a copy that failed it would name blocks and places that hold something else.
void EngineCore::forget_contents() {
  std::lock_guard lock(mutex_);
  kv_.forget_contents();
}

// Without the lock: a sink may cancel.
void EngineCore::deliver(const Step& step) {
  for (Sequence* sequence : step.touched) deliver_to(*sequence);
}

void EngineCore::deliver_to(Sequence& sequence) {
  std::optional<Event> event = sequence.take_event();
  if (!event) return;
  try {
    sequence.sink()(std::move(*event));
  } catch (const std::exception& e) {
    spdlog::error("the event sink of request {} threw, so it is cancelled: {}", sequence.id(), e.what());
    cancel(sequence.id());
  }
}

void EngineCore::forget_finished(const Step& step) {
  std::vector<std::unique_ptr<Sequence>> finished;  // destroyed without the lock: sinks own things of others
  std::lock_guard lock(mutex_);
  for (const Sequence* sequence : step.touched) {
    if (!sequence->finished()) continue;
    recorder_.finished(sequence->id(), sequence->finish_reason());
    const auto it = sequences_.find(sequence->id());
    finished.push_back(std::move(it->second));
    sequences_.erase(it);
    ++stats_.requests_finished;
  }
  if (sequences_.empty()) idle_.notify_all();
}

void EngineCore::shut_down() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    publish_room();
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (Visit& visit : visits_) visit.made.set_value(false);
  for (const auto& [id, sequence] : sequences_) {
    sequence->finish(FinishReason::kCancelled);
    deliver_to(*sequence);
  }
}

EngineStats EngineCore::stats() const {
  std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.running = scheduler_.running();
  stats.waiting = scheduler_.waiting();
  stats.kv_blocks_total = kv_.num_blocks();
  stats.kv_blocks_used = kv_.used_blocks();
  const PrefixStats prefix = kv_.prefix_stats();
  stats.prefix_hits = prefix.hits;
  stats.prefix_misses = prefix.misses;
  stats.prefix_evictions = prefix.evictions;
  stats.prefix_queried_tokens = prefix.queried_tokens;
  stats.prefix_saved_tokens = prefix.saved_tokens;
  stats.prefix_entries = prefix.entries;
  stats.swap_blocks_total = options_.swap ? options_.swap->places() : 0;
  stats.swap_blocks_used = prefix.swap_entries;
  stats.swapped_out = prefix.swapped_out;
  stats.swapped_in = prefix.swapped_in;
  for (const GuessCounts& counts : stats_.guesses) {
    stats.drafts += counts.drafts;
    stats.drafted_tokens += counts.drafted_tokens;
    stats.accepted_tokens += counts.accepted_tokens;
  }
  stats.prefix_bytes = prefix.entries * options_.block_bytes;
  stats.experts = runner_->expert_load();
  stats.expert_cache = runner_->expert_cache();
  return stats;
}

std::vector<std::string> EngineCore::violations() const {
  std::lock_guard lock(mutex_);
  return scheduler_.violations();
}

}  // namespace ferrum
