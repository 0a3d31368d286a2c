#include "trace/chrome_trace.h"

#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kProcess = 1;
enum Thread { kSteps = 1, kOperations = 2, kRequests = 3 };

// Collects events; times become microseconds since the first thing that is shown.
class Trace {
 public:
  explicit Trace(int64_t zero) : zero_(zero) {}

  void name_thread(Thread thread, const char* name) {
    events_.push_back(
        {{"ph", "M"}, {"pid", kProcess}, {"tid", thread}, {"name", "thread_name"}, {"args", {{"name", name}}}});
  }
  void slice(Thread thread, std::string_view name, int64_t begin, int64_t duration, Json args = Json::object()) {
    Json event = at(begin, "X", thread, name);
    event["dur"] = microseconds(duration);
    if (!args.empty()) event["args"] = std::move(args);
    events_.push_back(std::move(event));
  }
  void counter(const char* name, int64_t time, Json values) {
    Json event = at(time, "C", kSteps, name);
    event["args"] = std::move(values);
    events_.push_back(std::move(event));
  }
  void span(uint64_t id, std::string_view name, int64_t begin, int64_t end, Json args = Json::object()) {
    for (const bool first : {true, false}) {
      Json event = at(first ? begin : end, first ? "b" : "e", kRequests, name);
      event["cat"] = "request";
      event["id"] = id;
      if (first && !args.empty()) event["args"] = args;
      events_.push_back(std::move(event));
    }
  }
  std::string text() && {
    const Json trace = {{"displayTimeUnit", "ms"}, {"traceEvents", std::move(events_)}};
    return trace.dump(-1, ' ', false, Json::error_handler_t::replace);
  }

 private:
  static double microseconds(int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1000; }
  Json at(int64_t time, const char* kind, Thread thread, std::string_view name) const {
    return {{"ph", kind}, {"pid", kProcess}, {"tid", thread}, {"ts", microseconds(time - zero_)}, {"name", name}};
  }

  const int64_t zero_;
  Json events_ = Json::array();
};

void add_step(Trace& trace, const StepRecord& step) {
  trace.slice(kSteps, "step", step.begin, step.duration(),
              {{"index", step.index},
               {"decode_rows", step.decode_rows},
               {"prompt_rows", step.prompt_rows},
               {"tokens", step.tokens},
               {"token_budget", step.token_budget},
               {"generated", step.generated},
               {"drafted", step.drafted},
               {"accepted", step.accepted},
               {"preempted", step.preempted},
               {"failed", step.failed}});
  int64_t begin = step.begin;
  for (int i = 0; i < kStepPhases; ++i) {
    const int64_t duration = step.phases[static_cast<size_t>(i)];
    trace.slice(kSteps, to_string(static_cast<StepPhase>(i)), begin, duration);
    begin += duration;
  }
  trace.counter("rows", step.begin, {{"decode", step.decode_rows}, {"prompt", step.prompt_rows}});
  trace.counter("waiting", step.begin, {{"requests", step.waiting}});
  trace.counter("kv", step.begin, {{"blocks", step.kv_used}});
}

void add_request(Trace& trace, const RequestRecord& request, int64_t now) {
  const int64_t end = request.finished < 0 ? now : request.finished;
  trace.span(request.id, "request " + std::to_string(request.id), request.queued, end,
             {{"prompt_tokens", request.prompt_tokens},
              {"generated", request.generated},
              {"drafted", request.drafted},
              {"accepted", request.accepted},
              {"preemptions", request.preemptions},
              {"reason", request.finished < 0 ? "running" : to_string(request.reason)}});
  for (size_t i = 0; i < request.segments.size(); ++i) {
    const int64_t until = i + 1 < request.segments.size() ? request.segments[i + 1].begin : end;
    trace.span(request.id, to_string(request.segments[i].phase), request.segments[i].begin, until);
  }
}

int64_t earliest(const RecordSnapshot& record, const std::vector<OpSpan>& spans) {
  int64_t zero = record.now;
  if (!record.steps.empty()) zero = std::min(zero, record.steps.front().begin);
  if (!spans.empty()) zero = std::min(zero, spans.front().begin);
  for (const auto* requests : {&record.finished, &record.active}) {
    for (const RequestRecord& request : *requests) zero = std::min(zero, request.queued);
  }
  return zero;
}

}  // namespace

std::string chrome_trace(const FlightRecorder& recorder) {
  const RecordSnapshot record = recorder.snapshot(recorder.limits());
  const OpProfile* profile = recorder.profile();
  const std::vector<OpSpan> spans = profile == nullptr ? std::vector<OpSpan>() : profile->spans();
  Trace trace(earliest(record, spans));
  trace.name_thread(kSteps, "steps");
  trace.name_thread(kRequests, "requests");
  for (const StepRecord& step : record.steps) add_step(trace, step);
  for (const auto* requests : {&record.finished, &record.active}) {
    for (const RequestRecord& request : *requests) add_request(trace, request, record.now);
  }
  if (profile != nullptr) {
    trace.name_thread(kOperations, "operations");
    const std::vector<std::string> names = profile->op_names();
    for (const OpSpan& span : spans) {
      trace.slice(kOperations, names[static_cast<size_t>(span.op)], span.begin, span.end - span.begin,
                  {{"layer", span.layer}});
    }
  }
  return std::move(trace).text();
}

}  // namespace ferrum
