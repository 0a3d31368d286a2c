// What the engine did lately: a record per step, a timeline per request, a sum per second. Counts and times only: no
// token and no text is kept. Always on: a step costs seven looks at the clock and one short lock
// (docs/observability.md).
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "trace/op_profile.h"
#include "trace/ring.h"
#include "types/ids.h"
#include "types/sampling.h"
#include "types/speculation.h"

namespace ferrum {

// Parts of a step, in the order in which they happen.
enum class StepPhase { kPlan, kDraft, kBuild, kForward, kSample, kDeliver };  // kDraft: the draft model's passes
inline constexpr int kStepPhases = 6;
const char* to_string(StepPhase phase);

// Where a request is. kPrefill again after a preemption: its KV is computed once more.
enum class RequestPhase { kQueued, kPrefill, kDecode, kPreempted };
inline constexpr int kRequestPhases = 4;
const char* to_string(RequestPhase phase);

// All times are nanoseconds of OpProfile::monotonic_ns().
struct StepRecord {
  uint64_t index = 0;  // from 1
  int64_t begin = 0;
  std::array<int64_t, kStepPhases> phases{};  // duration of each
  int decode_rows = 0, prompt_rows = 0;
  int tokens = 0, prompt_tokens = 0, generated = 0;
  int drafted = 0, accepted = 0;  // guesses: verified, and right
  int token_budget = 0;
  int preempted = 0;
  int running = 0, waiting = 0;  // when it was planned
  int64_t kv_used = 0, kv_total = 0;
  bool failed = false;

  int64_t duration() const;
};

struct RequestRecord {
  struct Segment {
    RequestPhase phase = RequestPhase::kQueued;
    int64_t begin = 0;
  };

  RequestId id = 0;
  int prompt_tokens = 0, generated = 0, preemptions = 0;
  std::array<int, kGuessSources> drafted{}, accepted{};                  // guesses by source: verified, and right
  int64_t queued = 0, first_token = -1, last_token = -1, finished = -1;  // -1 = not yet
  int64_t longest_gap = 0;                                               // between two steps that gave tokens
  FinishReason reason = FinishReason::kNone;
  RequestPhase phase = RequestPhase::kQueued;         // the current or last one
  std::array<int64_t, kRequestPhases> phase_times{};  // spent in each, without the current one
  std::vector<Segment> segments;                      // the first kMaxSegments changes; the times above count all

  static constexpr size_t kMaxSegments = 32;
};

// Sums over one second of the recorder's clock.
struct SecondRecord {
  int64_t second = 0;
  int steps = 0, rows = 0, prompt_tokens = 0, generated = 0, preempted = 0, finished = 0;
  int max_waiting = 0;
  int64_t max_kv_used = 0;
  std::array<int64_t, kStepPhases> phases{};
};

struct RecordLimits {
  size_t steps = 4096;
  size_t requests = 512;  // finished ones
};

struct RecordSnapshot {
  int64_t now = 0;
  std::vector<StepRecord> steps;                // oldest first
  std::vector<RequestRecord> active, finished;  // by id; oldest first
  std::vector<SecondRecord> seconds;            // oldest first; seconds in which nothing happened are absent
};

// A row of a step, as the recorder wants to know it.
struct RecordedRow {
  RequestId request = 0;
  bool reads_prompt = false;
  int tokens = 0;
  int prompt_tokens = 0;  // of these
  int generated = 0;
  GuessSource source = GuessSource::kNgram;  // of the guesses, where there were some
  int drafted = 0, accepted = 0;
};

class FlightRecorder {
 public:
  using Clock = std::function<int64_t()>;  // nanoseconds, ascending
  explicit FlightRecorder(const RecordLimits& limits = {}, std::shared_ptr<OpProfile> profile = nullptr,
                          Clock clock = {});

  void queued(RequestId request, int prompt_tokens);
  void finished(RequestId request, FinishReason reason);

  // By the thread that runs the steps, in this order. A step that is not ended is forgotten.
  void begin_step();
  void end_phase(StepPhase phase);
  void begin_forward(bool reads_prompt);
  // step: the counts; index, times and sums over rows are filled in.
  void end_step(StepRecord step, std::span<const RecordedRow> rows, std::span<const SeqId> preempted);

  // The newest of everything, at most so many steps and finished requests.
  RecordSnapshot snapshot(const RecordLimits& limits) const;
  const RecordLimits& limits() const { return limits_; }
  const OpProfile* profile() const { return profile_.get(); }  // nullptr where nothing is timed

 private:
  RequestRecord& active(RequestId request, int64_t now);
  void enter(RequestRecord& request, RequestPhase phase, int64_t now);
  void note(const RecordedRow& row, int64_t step_began, int64_t sampled);
  SecondRecord& second_at(int64_t now);

  const RecordLimits limits_;
  const std::shared_ptr<OpProfile> profile_;
  const Clock clock_;
  // Of the step thread:
  int64_t step_began_ = 0, phase_began_ = 0;
  std::array<int64_t, kStepPhases> phase_times_{};

  mutable std::mutex mutex_;  // protects everything below
  Ring<StepRecord> steps_;
  Ring<RequestRecord> finished_;
  Ring<SecondRecord> seconds_;
  std::unordered_map<RequestId, RequestRecord> active_;  // bounded by what the engine admits
};

}  // namespace ferrum
