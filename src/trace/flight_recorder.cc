#include "trace/flight_recorder.h"

#include <algorithm>
#include <numeric>

namespace ferrum {
namespace {

constexpr size_t kSeconds = 300;
constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;

}  // namespace

const char* to_string(StepPhase phase) {
  switch (phase) {
    case StepPhase::kPlan: return "plan";
    case StepPhase::kDraft: return "draft";
    case StepPhase::kBuild: return "build";
    case StepPhase::kForward: return "forward";
    case StepPhase::kSample: return "sample";
    case StepPhase::kDeliver: return "deliver";
  }
  return "";
}

const char* to_string(RequestPhase phase) {
  switch (phase) {
    case RequestPhase::kQueued: return "queued";
    case RequestPhase::kPrefill: return "prefill";
    case RequestPhase::kDecode: return "decode";
    case RequestPhase::kPreempted: return "preempted";
  }
  return "";
}

int64_t StepRecord::duration() const { return std::accumulate(phases.begin(), phases.end(), int64_t{0}); }

FlightRecorder::FlightRecorder(const RecordLimits& limits, std::shared_ptr<OpProfile> profile, Clock clock)
    : limits_(limits),
      profile_(std::move(profile)),
      clock_(clock ? std::move(clock) : OpProfile::monotonic_ns),
      steps_(limits.steps),
      finished_(limits.requests),
      seconds_(kSeconds) {}

void FlightRecorder::queued(RequestId request, int prompt_tokens) {
  const int64_t now = clock_();
  const std::lock_guard lock(mutex_);
  active(request, now).prompt_tokens = prompt_tokens;
}

void FlightRecorder::finished(RequestId request, FinishReason reason) {
  const int64_t now = clock_();
  const std::lock_guard lock(mutex_);
  const auto found = active_.find(request);
  if (found == active_.end()) return;
  RequestRecord& record = found->second;
  const RequestPhase last = record.phase;
  record.phase_times[static_cast<size_t>(last)] += now - record.segments.back().begin;
  record.finished = now;
  record.reason = reason;
  finished_.push(std::move(record));
  active_.erase(found);
  ++second_at(now).finished;
}

void FlightRecorder::begin_step() {
  step_began_ = phase_began_ = clock_();
  phase_times_ = {};
}

void FlightRecorder::end_phase(StepPhase phase) {
  const int64_t now = clock_();
  phase_times_[static_cast<size_t>(phase)] += now - phase_began_;
  phase_began_ = now;
}

void FlightRecorder::begin_forward(bool reads_prompt) {
  if (profile_) profile_->begin_step(reads_prompt);
}

void FlightRecorder::end_step(StepRecord step, std::span<const RecordedRow> rows, std::span<const SeqId> preempted) {
  step.begin = step_began_;
  step.phases = phase_times_;
  const int64_t sampled = phase_began_ - phase_times_[static_cast<size_t>(StepPhase::kDeliver)];
  const std::lock_guard lock(mutex_);
  for (const SeqId id : preempted) {
    RequestRecord& request = active(id, step_began_);
    ++request.preemptions;
    enter(request, RequestPhase::kPreempted, step_began_);
  }
  for (const RecordedRow& row : rows) {
    ++(row.reads_prompt ? step.prompt_rows : step.decode_rows);
    step.tokens += row.tokens;
    step.prompt_tokens += row.prompt_tokens;
    step.generated += row.generated;
    step.drafted += row.drafted;
    step.accepted += row.accepted;
    note(row, step_began_, sampled);
  }
  step.preempted = static_cast<int>(preempted.size());
  step.index = steps_.pushed() + 1;

  SecondRecord& second = second_at(phase_began_);
  ++second.steps;
  second.rows += static_cast<int>(rows.size());
  second.prompt_tokens += step.prompt_tokens;
  second.generated += step.generated;
  second.preempted += step.preempted;
  second.max_waiting = std::max(second.max_waiting, step.waiting);
  second.max_kv_used = std::max(second.max_kv_used, step.kv_used);
  for (size_t i = 0; i < step.phases.size(); ++i) second.phases[i] += step.phases[i];
  steps_.push(step);
}

void FlightRecorder::note(const RecordedRow& row, int64_t step_began, int64_t sampled) {
  RequestRecord& request = active(row.request, step_began);
  request.drafted[static_cast<size_t>(row.source)] += row.drafted;
  request.accepted[static_cast<size_t>(row.source)] += row.accepted;
  enter(request, row.reads_prompt ? RequestPhase::kPrefill : RequestPhase::kDecode, step_began);
  if (row.generated == 0) return;
  request.generated += row.generated;
  if (request.first_token < 0) {
    request.first_token = sampled;
  } else {
    request.longest_gap = std::max(request.longest_gap, sampled - request.last_token);
  }
  request.last_token = sampled;
  enter(request, RequestPhase::kDecode, sampled);
}

// A request nobody announced (a fork of another one) begins where it is first seen.
RequestRecord& FlightRecorder::active(RequestId request, int64_t now) {
  const auto [found, is_new] = active_.try_emplace(request);
  RequestRecord& record = found->second;
  if (is_new) {
    record.id = request;
    record.queued = now;
    record.segments.push_back({RequestPhase::kQueued, now});
  }
  return record;
}

// The time of a change beyond kMaxSegments moves the last segment's begin, so that phase_times stay true; what is shown
// of such a request is its beginning and its current phase.
void FlightRecorder::enter(RequestRecord& request, RequestPhase phase, int64_t now) {
  if (request.phase == phase) return;
  RequestRecord::Segment& last = request.segments.back();
  request.phase_times[static_cast<size_t>(request.phase)] += now - last.begin;
  request.phase = phase;
  if (request.segments.size() < RequestRecord::kMaxSegments) {
    request.segments.push_back({phase, now});
  } else {
    last = {phase, now};
  }
}

SecondRecord& FlightRecorder::second_at(int64_t now) {
  const int64_t second = now / kNanosecondsPerSecond;
  const SecondRecord* newest = seconds_.newest();
  // Two threads may come with times in the wrong order: the earlier second is then counted to the later.
  if (newest == nullptr || newest->second < second) {
    SecondRecord record;
    record.second = second;
    seconds_.push(record);
  }
  return *seconds_.newest();
}

RecordSnapshot FlightRecorder::snapshot(const RecordLimits& limits) const {
  RecordSnapshot out;
  const std::lock_guard lock(mutex_);
  out.now = clock_();
  out.steps = steps_.last(limits.steps);
  out.finished = finished_.last(limits.requests);
  out.seconds = seconds_.last(kSeconds);
  for (const auto& [id, request] : active_) out.active.push_back(request);
  std::sort(out.active.begin(), out.active.end(),
            [](const RequestRecord& a, const RequestRecord& b) { return a.id < b.id; });
  return out;
}

}  // namespace ferrum
