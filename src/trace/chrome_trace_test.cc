#include "trace/chrome_trace.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

// The events of a short run: two steps, a finished request and one that runs, an operation with a name that must be
// escaped.
nlohmann::json events() {
  int64_t now = 1'000'000'000'000;
  auto profile = std::make_shared<OpProfile>(ProfileChoice{.decode_ops = true});
  FlightRecorder recorder({}, profile, [&] { return now; });
  recorder.queued(1, 8);
  recorder.queued(2, 3);
  for (int i = 0; i < 2; ++i) {
    recorder.begin_step();
    for (int phase = 0; phase < kStepPhases; ++phase) {
      now += 1000;
      recorder.end_phase(static_cast<StepPhase>(phase));
      if (phase == 1) recorder.begin_forward(false);
    }
    profile->add(profile->op("odd \"name\"\n"), now - 3000, now - 2500);
    recorder.end_step({}, std::vector<RecordedRow>{{1, i == 0, 8, 8, 1}}, {});
  }
  recorder.finished(1, FinishReason::kStop);
  return nlohmann::json::parse(chrome_trace(recorder)).at("traceEvents");
}

TEST(ChromeTrace, EveryEventHasWhatTheFormatAsksFor) {
  for (const auto& event : events()) {
    const std::string kind = event.at("ph");
    EXPECT_TRUE(event.at("name").is_string() && event.at("pid").is_number() && event.at("tid").is_number()) << event;
    if (kind == "M") continue;
    EXPECT_GE(event.at("ts").get<double>(), 0) << event;
    const bool span = kind == "b" || kind == "e";
    EXPECT_EQ(event.contains("id") && event.contains("cat"), span) << event;
    EXPECT_EQ(event.contains("dur"), kind == "X") << event;
  }
}

TEST(ChromeTrace, PhasesLieInsideTheirStepAndSpansAreClosed) {
  double step_begin = 0, step_end = 0;
  int phases = 0, steps = 0, operations = 0;
  std::map<std::string, int> open;
  for (const auto& event : events()) {
    const std::string kind = event.at("ph"), name = event.at("name");
    if (kind == "X" && name == "step") {
      step_begin = event["ts"];
      step_end = step_begin + event["dur"].get<double>();
      ++steps;
    } else if (kind == "X" && event["tid"] == 1) {
      EXPECT_GE(event["ts"].get<double>(), step_begin);
      EXPECT_LE(event["ts"].get<double>() + event["dur"].get<double>(), step_end + 1e-6);
      ++phases;
    } else if (kind == "X") {
      EXPECT_EQ(name, "odd \"name\"\n");
      ++operations;
    }
    if (kind == "b") ++open[event["id"].dump() + name];
    if (kind == "e") --open[event["id"].dump() + name];
  }
  EXPECT_EQ(steps, 2);
  EXPECT_EQ(phases, 2 * kStepPhases);
  EXPECT_EQ(operations, 2);
  EXPECT_EQ(open.size(), 2u + 4u);  // two requests; queued, prefill, decode of the first, queued of the second
  for (const auto& [name, count] : open) EXPECT_EQ(count, 0) << name;
}

TEST(ChromeTrace, NothingIsATraceToo) {
  const FlightRecorder recorder;
  EXPECT_EQ(nlohmann::json::parse(chrome_trace(recorder)).at("traceEvents").size(), 2u);
}

}  // namespace
}  // namespace ferrum
