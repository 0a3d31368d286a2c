#include "engine/draft_model.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "sched/batch_builder.h"

namespace ferrum {
namespace {

// The largest logit's token; of equal ones the first. nullopt where none is a number.
std::optional<TokenId> argmax(const float* logits, int count) {
  std::optional<TokenId> best;
  for (int i = 0; i < count; ++i) {
    if (best ? logits[i] > logits[*best] : logits[i] == logits[i]) best = i;
  }
  return best;
}

}  // namespace

DraftModel::DraftModel(const DraftModelLimits& limits, std::unique_ptr<StepRunner> runner)
    : limits_(limits), runner_(std::move(runner)), kv_(limits.num_blocks, limits.block_size) {
  FERRUM_CHECK(limits.max_tokens >= 1 && limits.vocab_size >= 1 && limits.max_context >= 1, "limits of a draft model");
}

void DraftModel::guess(StepPlan& plan, std::span<Sequence* const> rows, const BlockAllocator& kv, StepCosts& costs) {
  const std::vector<BlockCopy>& copies = plan.reservation.copies;
  for (const BlockCopy& copy : copies) kv_.copied(copy);
  for (const PlannedRow& row : plan.rows) kv_.overwritten(kv.table(row.seq), row.begin, row.begin + row.count);
  std::vector<Job> jobs = find_jobs(plan, rows, kv);
  fit(jobs);
  const bool copies_made = !jobs.empty();
  const Status ran = run(std::move(jobs), copies, kv, costs);
  if (!copies_made || !ran.is_ok()) {
    for (const BlockCopy& copy : copies) kv_.forget(copy.to);
  }
  // Without its guesses a step is still a step, and KV that was half written is not counted as computed.
  if (!ran.is_ok() && work_.failures++ == 0) spdlog::error("the draft model failed: {}", ran.message());
  for (size_t i = 0; i < rows.size(); ++i) {
    const int made = static_cast<int>(rows[i]->tokens().size()) - (plan.rows[i].begin + plan.rows[i].count);
    if (made < 0) plan.give_up_drafts(i, -made);
  }
}

// Who wants guesses, who reads a prompt for which some will be wanted, and where blocks go for good, everybody.
std::vector<DraftModel::Job> DraftModel::find_jobs(const StepPlan& plan, std::span<Sequence* const> rows,
                                                   const BlockAllocator& kv) const {
  std::vector<Job> jobs;
  for (size_t i = 0; i < rows.size(); ++i) {
    const PlannedRow& row = plan.rows[i];
    if (!rows[i]->uses_draft_model()) continue;
    const std::span<const BlockId> table = kv.table(row.seq);
    const int known = row.begin + row.count - row.drafts;
    Job job{row.seq, rows[i], kv_.length(table, row.begin), known};
    job.useful = row.count - row.drafts + 1;
    if (rows[i]->guess_source() == GuessSource::kDraft) job.wanted = std::min(row.drafts, limits_.max_context - known);
    const bool reads_prompt = known - row.begin > 1;
    if (job.wanted <= 0 && !reads_prompt && !limits_.keeps_up) continue;
    if (known > limits_.max_context || !can_read(job) || !can_catch_up(table, job.begin)) continue;
    jobs.push_back(job);
  }
  return jobs;
}

// The draft model's vocabulary may lack ids at the end of the target's.
bool DraftModel::can_read(const Job& job) const {
  if (limits_.vocab_size >= limits_.target_vocab_size) return true;
  const auto tokens =
      job.sequence->tokens().subspan(static_cast<size_t>(job.begin), static_cast<size_t>(job.end - job.begin));
  return std::all_of(tokens.begin(), tokens.end(), [&](TokenId t) { return t < limits_.vocab_size; });
}

// Whether all that position `from` sees is still there.
bool DraftModel::can_catch_up(std::span<const BlockId> table, int from) const {
  const int kept = kv_.first_kept(table);
  return kept == 0 || (limits_.window > 0 && from - limits_.window + 1 >= kept);
}

// Cuts the jobs to what a pass holds: first to what a step adds to each, which always fits, then the oldest catch up.
void DraftModel::fit(std::vector<Job>& jobs) const {
  int left = limits_.max_tokens;
  for (const Job& job : jobs) left -= std::min(job.end - job.begin, job.useful);
  FERRUM_CHECK(left >= 0, "a pass of the draft model that a step does not fit into");
  for (Job& job : jobs) {
    const int missing = std::max(0, job.end - job.begin - job.useful);
    const int more = std::min(left, missing);
    left -= more;
    if (more == missing) continue;
    job.end -= missing - more;
    job.wanted = 0;
  }
}

int DraftModel::tokens_of(const std::vector<Job>& jobs) {
  return std::accumulate(jobs.begin(), jobs.end(), 0,
                         [](int sum, const Job& job) { return sum + job.end - job.begin; });
}

Status DraftModel::run(std::vector<Job> jobs, const std::vector<BlockCopy>& copies, const BlockAllocator& kv,
                       StepCosts& costs) {
  using Clock = std::chrono::steady_clock;
  for (bool first = true; !jobs.empty(); first = false) {
    const Clock::time_point began = Clock::now();
    const Result<StepOutput> output = pass(jobs, first ? copies : std::vector<BlockCopy>(), kv);
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    work_.seconds += seconds;
    FERRUM_RETURN_IF_ERROR(output.status());
    for (const Job& job : jobs) kv_.computed(kv.table(job.id), job.begin, job.end);
    work_.tokens += static_cast<uint64_t>(tokens_of(jobs));
    ++work_.passes;
    // A pass that caught up with much says nothing about what a guess costs.
    const auto guesses_on = [](const Job& job) { return job.end - job.begin <= 2; };
    if (std::all_of(jobs.begin(), jobs.end(), guesses_on)) costs.add_draft_pass(tokens_of(jobs), seconds);
    jobs = next_jobs(jobs, output->logits);
  }
  return Status::ok();
}

Result<StepOutput> DraftModel::pass(const std::vector<Job>& jobs, const std::vector<BlockCopy>& copies,
                                    const BlockAllocator& kv) {
  StepPlan plan;
  plan.reservation.copies = copies;
  std::unordered_map<SeqId, Sequence*> sequences;
  for (const Job& job : jobs) {
    plan.rows.push_back({job.id, job.begin, job.end - job.begin, job.wanted > 0 ? 1 : 0});
    sequences.emplace(job.id, job.sequence);
  }
  return runner_->run(build_batch(plan, kv, [&](SeqId id) { return sequences.at(id)->tokens(); }));
}

// Appends each sequence's guess; what remains are the sequences that want another one.
std::vector<DraftModel::Job> DraftModel::next_jobs(const std::vector<Job>& jobs, ConstView logits) const {
  const int vocab = std::min(limits_.vocab_size, limits_.target_vocab_size);
  std::vector<Job> next;
  int64_t row = 0;
  for (const Job& job : jobs) {
    if (job.wanted == 0) continue;
    const std::optional<TokenId> token = argmax(logits.row<const float>(row++), vocab);
    if (!token) continue;
    job.sequence->add_guess(*token);
    if (job.wanted > 1) next.push_back({job.id, job.sequence, job.end, job.end + 1, job.wanted - 1});
  }
  return next;
}

}  // namespace ferrum
