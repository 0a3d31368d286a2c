#include "apps/server/stats.h"

#include <nlohmann/json.hpp>

#include "apps/server/engine_metrics.h"

namespace ferrum {
namespace {

constexpr RecordLimits kShown{.steps = 120, .requests = 24};
constexpr size_t kActiveShown = 64;  // of those that wait or run; `waiting` and `running` count all
constexpr int64_t kSecondsShown = 120;

double seconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; }
double milliseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e6; }

Json phases_json(const std::array<int64_t, kStepPhases>& phases) {
  Json out = Json::object();
  for (int i = 0; i < kStepPhases; ++i) {
    out[to_string(static_cast<StepPhase>(i))] = milliseconds(phases[static_cast<size_t>(i)]);
  }
  return out;
}

Json step_json(const StepRecord& step, int64_t now) {
  return {{"index", step.index},
          {"age", seconds(now - step.begin)},
          {"ms", milliseconds(step.duration())},
          {"decode_rows", step.decode_rows},
          {"prompt_rows", step.prompt_rows},
          {"tokens", step.tokens},
          {"token_budget", step.token_budget},
          {"generated", step.generated},
          {"drafted", step.drafted},
          {"accepted", step.accepted},
          {"preempted", step.preempted},
          {"waiting", step.waiting},
          {"kv_blocks_used", step.kv_used},
          {"failed", step.failed},
          {"phases_ms", phases_json(step.phases)}};
}

// Of those sources that guessed.
Json guesses_json(const std::array<int, kGuessSources>& drafted, const std::array<int, kGuessSources>& accepted) {
  Json out = Json::object();
  for (int i = 0; i < kGuessSources; ++i) {
    const auto source = static_cast<size_t>(i);
    if (drafted[source] == 0) continue;
    out[to_string(static_cast<GuessSource>(i))] = {{"drafted", drafted[source]}, {"accepted", accepted[source]}};
  }
  return out;
}

Json speculation_json(const EngineStats& stats) {
  Json out = Json::object();
  for (int i = 0; i < kGuessSources; ++i) {
    const GuessCounts& counts = stats.guesses[static_cast<size_t>(i)];
    out[to_string(static_cast<GuessSource>(i))] = {
        {"drafts", counts.drafts}, {"drafted", counts.drafted_tokens}, {"accepted", counts.accepted_tokens}};
  }
  out["draft_model"] = {{"passes", stats.draft_model.passes},
                        {"tokens", stats.draft_model.tokens},
                        {"seconds", stats.draft_model.seconds},
                        {"failures", stats.draft_model.failures}};
  return out;
}

Json request_json(const RequestRecord& r, int64_t now) {
  const int64_t end = r.finished < 0 ? now : r.finished;
  Json timeline = Json::array();
  for (size_t i = 0; i < r.segments.size(); ++i) {
    const int64_t until = i + 1 < r.segments.size() ? r.segments[i + 1].begin : end;
    timeline.push_back({{"phase", to_string(r.segments[i].phase)}, {"seconds", seconds(until - r.segments[i].begin)}});
  }
  const bool several = r.generated > 1;
  return {{"id", r.id},
          {"state", r.finished < 0 ? to_string(r.phase) : to_string(r.reason)},
          {"finished", r.finished >= 0},
          {"age", seconds(now - r.queued)},
          {"seconds", seconds(end - r.queued)},
          {"prompt_tokens", r.prompt_tokens},
          {"generated", r.generated},
          {"guesses", guesses_json(r.drafted, r.accepted)},
          {"preemptions", r.preemptions},
          {"first_token_seconds", r.first_token < 0 ? Json(nullptr) : Json(seconds(r.first_token - r.queued))},
          {"token_ms", several ? Json(milliseconds(r.last_token - r.first_token) / (r.generated - 1)) : Json(nullptr)},
          {"longest_gap_ms", several ? Json(milliseconds(r.longest_gap)) : Json(nullptr)},
          {"timeline", std::move(timeline)}};
}

// One entry per second up to the last whole one, also where nothing happened; oldest first.
Json seconds_json(const RecordSnapshot& record) {
  const int64_t end = record.now / 1'000'000'000;
  std::vector<SecondRecord> all(kSecondsShown);
  for (const SecondRecord& s : record.seconds) {
    const int64_t at = s.second - (end - kSecondsShown);
    if (at >= 0 && at < kSecondsShown) all[static_cast<size_t>(at)] = s;
  }
  Json out = Json::array();
  for (const SecondRecord& s : all) {
    out.push_back({{"steps", s.steps},
                   {"rows", s.rows},
                   {"prompt_tokens", s.prompt_tokens},
                   {"generated", s.generated},
                   {"preempted", s.preempted},
                   {"finished", s.finished},
                   {"max_waiting", s.max_waiting},
                   {"max_kv_blocks_used", s.max_kv_used},
                   {"phases_ms", phases_json(s.phases)}});
  }
  return out;
}

Json profile_json(const OpProfile& profile) {
  Json out = Json::array();
  for (const OpTable& table : profile.tables()) {
    Json rows = Json::array();
    for (const OpTotal& row : table.rows) {
      rows.push_back({{"name", row.name}, {"calls", row.calls}, {"ms", milliseconds(row.nanoseconds)}});
    }
    out.push_back({{"title", table.title}, {"steps", table.steps}, {"rows", std::move(rows)}});
  }
  return out;
}

// By layer: how evenly experts are used, and how often each was.
Json experts_json(const std::vector<ExpertLoad>& layers) {
  Json out = Json::array();
  for (const ExpertLoad& load : layers) {
    out.push_back({{"entropy", load_entropy(load)},
                   {"peak", load_peak(load)},
                   {"without_numbers", load.without_numbers},
                   {"tokens", load.tokens}});
  }
  return out;
}

}  // namespace

Json stats_json(const Engine& engine) {
  const EngineStats stats = engine.stats();
  const EngineOptions& options = engine.options();
  Json out = {{"engine",
               {{"description", engine.describe()},
                {"running", stats.running},
                {"waiting", stats.waiting},
                {"max_seqs", options.max_seqs},
                {"max_waiting", options.max_waiting},
                {"scheduling_policy", to_string(options.queue_policy)},
                {"token_budget", options.max_batched_tokens},
                {"kv_blocks_used", stats.kv_blocks_used},
                {"kv_blocks_total", stats.kv_blocks_total},
                {"swap_blocks_used", stats.swap_blocks_used},
                {"swap_blocks_total", stats.swap_blocks_total},
                {"block_size", options.block_size}}},
              {"totals", {{"speculation", speculation_json(stats)}}},
              {"prefix_cache", {{"enabled", options.prefix_cache}}},
              {"experts", experts_json(stats.experts)},
              {"seconds", Json::array()},
              {"steps", Json::array()},
              {"requests", Json::array()},
              {"profile", Json::array()}};
  for (const EngineMetric& metric : engine_metrics()) {
    if (metric.group != nullptr) out[metric.group][metric.key] = metric.value(stats);
  }
  const FlightRecorder* recorder = engine.recorder();
  if (recorder == nullptr) return out;
  const RecordSnapshot record = recorder->snapshot(kShown);
  out["seconds"] = seconds_json(record);
  for (const StepRecord& step : record.steps) out["steps"].push_back(step_json(step, record.now));
  for (const RequestRecord& request : record.active) {
    if (out["requests"].size() < kActiveShown) out["requests"].push_back(request_json(request, record.now));
  }
  for (auto it = record.finished.rbegin(); it != record.finished.rend(); ++it) {
    out["requests"].push_back(request_json(*it, record.now));
  }
  if (recorder->profile() != nullptr) out["profile"] = profile_json(*recorder->profile());
  return out;
}

}  // namespace ferrum
