// Every time in these tests comes from a clock that the test moves.
#include "trace/flight_recorder.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

constexpr int64_t kMs = 1'000'000;

class FlightRecorderTest : public testing::Test {
 protected:
  FlightRecorder make(RecordLimits limits = {}) {
    return FlightRecorder(limits, nullptr, [this] { return now_; });
  }
  // Plan 1 ms, build 1, forward 5, sample 2, deliver 1.
  void step(FlightRecorder& recorder, const std::vector<RecordedRow>& rows, const std::vector<SeqId>& preempted = {}) {
    recorder.begin_step();
    const int64_t times[kStepPhases] = {1, 0, 1, 5, 2, 1};
    for (int i = 0; i < kStepPhases; ++i) {
      now_ += times[i] * kMs;
      recorder.end_phase(static_cast<StepPhase>(i));
    }
    recorder.end_step({}, rows, preempted);
  }
  static RecordedRow prompt(RequestId id, int tokens, int generated = 0) {
    return {id, true, tokens, tokens, generated};
  }
  static RecordedRow decode(RequestId id, int tokens = 1, int generated = 1) {
    return {id, false, tokens, 0, generated};
  }

  int64_t now_ = 0;
};

TEST_F(FlightRecorderTest, AStepHasItsPhasesAndTheSumsOverItsRows) {
  FlightRecorder recorder = make();
  now_ = 7 * kMs;
  step(recorder, {prompt(1, 30), decode(2), decode(3, 4, 3)});
  const auto steps = recorder.snapshot({}).steps;
  ASSERT_EQ(steps.size(), 1u);
  EXPECT_EQ(steps[0].index, 1u);
  EXPECT_EQ(steps[0].begin, 7 * kMs);
  EXPECT_EQ(steps[0].duration(), 10 * kMs);
  EXPECT_EQ(steps[0].phases[static_cast<size_t>(StepPhase::kForward)], 5 * kMs);
  EXPECT_EQ(steps[0].prompt_rows, 1);
  EXPECT_EQ(steps[0].decode_rows, 2);
  EXPECT_EQ(steps[0].tokens, 35);
  EXPECT_EQ(steps[0].prompt_tokens, 30);
  EXPECT_EQ(steps[0].generated, 4);
}

TEST_F(FlightRecorderTest, ATimelineAccountsForEveryMomentOfARequest) {
  FlightRecorder recorder = make();
  recorder.queued(5, 40);
  now_ = 3 * kMs;
  step(recorder, {prompt(5, 20)});     // 3..13
  step(recorder, {prompt(5, 20, 1)});  // 13..23, sampled at 22
  step(recorder, {decode(5)});         // 23..33, sampled at 32
  step(recorder, {}, {5});             // 33..43 preempted
  step(recorder, {prompt(5, 41)});     // 43..53 reads again, samples nothing
  step(recorder, {decode(5)});         // 53..63, sampled at 62
  now_ = 64 * kMs;
  recorder.finished(5, FinishReason::kLength);

  const RecordSnapshot record = recorder.snapshot({});
  EXPECT_TRUE(record.active.empty());
  ASSERT_EQ(record.finished.size(), 1u);
  const RequestRecord& r = record.finished[0];
  EXPECT_EQ(r.prompt_tokens, 40);
  EXPECT_EQ(r.generated, 3);
  EXPECT_EQ(r.preemptions, 1);
  EXPECT_EQ(r.first_token, 22 * kMs);
  EXPECT_EQ(r.last_token, 62 * kMs);
  EXPECT_EQ(r.longest_gap, 30 * kMs);
  EXPECT_EQ(r.reason, FinishReason::kLength);
  const auto spent = [&](RequestPhase phase) { return r.phase_times[static_cast<size_t>(phase)] / kMs; };
  EXPECT_EQ(spent(RequestPhase::kQueued), 3);
  EXPECT_EQ(spent(RequestPhase::kPrefill), 19 + 10);
  EXPECT_EQ(spent(RequestPhase::kDecode), 11 + 11);
  EXPECT_EQ(spent(RequestPhase::kPreempted), 10);
  int64_t sum = 0;
  for (const int64_t time : r.phase_times) sum += time;
  EXPECT_EQ(sum, r.finished - r.queued);
}

TEST_F(FlightRecorderTest, RingsKeepTheNewestAndStayBounded) {
  FlightRecorder recorder = make({10, 3});
  for (RequestId id = 1; id <= 20; ++id) {
    recorder.queued(id, 1);
    step(recorder, {prompt(id, 1, 1)});
    recorder.finished(id, FinishReason::kStop);
  }
  const RecordSnapshot record = recorder.snapshot({100, 100});
  ASSERT_EQ(record.steps.size(), 10u);
  EXPECT_EQ(record.steps.front().index, 11u);
  EXPECT_EQ(record.steps.back().index, 20u);
  ASSERT_EQ(record.finished.size(), 3u);
  EXPECT_EQ(record.finished.front().id, 18u);
  EXPECT_EQ(recorder.snapshot({2, 1}).steps.size(), 2u);
  EXPECT_EQ(recorder.snapshot({2, 1}).finished.at(0).id, 20u);
}

TEST_F(FlightRecorderTest, ARequestPreemptedAThousandTimesKeepsItsSumsInBoundedMemory) {
  FlightRecorder recorder = make();
  recorder.queued(1, 4);
  for (int i = 0; i < 1000; ++i) {
    step(recorder, {prompt(1, 4, 1)});
    step(recorder, {}, {1});
  }
  recorder.finished(1, FinishReason::kCancelled);
  const RequestRecord r = recorder.snapshot({}).finished.at(0);
  EXPECT_EQ(r.preemptions, 1000);
  EXPECT_EQ(r.segments.size(), RequestRecord::kMaxSegments);
  int64_t sum = 0;
  for (const int64_t time : r.phase_times) sum += time;
  EXPECT_EQ(sum, r.finished - r.queued);
}

TEST_F(FlightRecorderTest, SecondsSumWhatEndedInThem) {
  FlightRecorder recorder = make();
  for (int i = 0; i < 150; ++i) step(recorder, {decode(1), decode(2)});  // 10 ms each
  now_ += 5000 * kMs;
  step(recorder, {decode(1)});
  recorder.finished(1, FinishReason::kStop);
  const auto seconds = recorder.snapshot({}).seconds;
  ASSERT_EQ(seconds.size(), 3u);
  EXPECT_EQ(seconds[0].steps, 99);  // the hundredth ends exactly with the second
  EXPECT_EQ(seconds[0].generated, 198);
  EXPECT_EQ(seconds[1].steps, 51);
  EXPECT_EQ(seconds[2].second, 6);
  EXPECT_EQ(seconds[2].finished, 1);
}

TEST_F(FlightRecorderTest, AForkBeginsWhereItIsFirstSeenAndAnUnknownEndIsIgnored) {
  FlightRecorder recorder = make();
  now_ = 50 * kMs;
  step(recorder, {decode(9)});
  recorder.finished(77, FinishReason::kStop);
  const RecordSnapshot record = recorder.snapshot({});
  ASSERT_EQ(record.active.size(), 1u);
  EXPECT_EQ(record.active[0].queued, 50 * kMs);
  EXPECT_EQ(record.active[0].phase, RequestPhase::kDecode);
  EXPECT_TRUE(record.finished.empty());
}

}  // namespace
}  // namespace ferrum
