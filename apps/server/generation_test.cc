// The queue between engine and connection: bounded, never blocking, silent after it is closed.
#include "apps/server/generation.h"

#include <gtest/gtest.h>

#include "apps/server/fake_engine_for_test.h"

namespace ferrum {
namespace {

Event text_event(size_t bytes) {
  Event event;
  event.text = std::string(bytes, 'x');
  return event;
}

TEST(EventQueue, WakesOncePerFillAndKeepsOrder) {
  EventQueue queue(1 << 20);
  int woken = 0;
  queue.set_wake([&] { ++woken; });
  EXPECT_TRUE(queue.push(0, text_event(1)));
  EXPECT_TRUE(queue.push(1, text_event(2)));
  EXPECT_EQ(woken, 1);
  const auto events = queue.take();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].choice, 0u);
  EXPECT_EQ(events[1].event.text, "xx");
  EXPECT_TRUE(queue.push(0, text_event(1)));
  EXPECT_EQ(woken, 2);
  queue.set_wake([&] { woken += 100; });  // a late listener hears of what is already there
  EXPECT_EQ(woken, 102);
}

TEST(EventQueue, AFullQueueRefusesAndStaysRefused) {
  EventQueue queue(10'000);
  EXPECT_TRUE(queue.push(0, text_event(50'000))) << "one event is taken into an empty queue, whatever its size";
  EXPECT_FALSE(queue.push(0, text_event(1)));
  EXPECT_TRUE(queue.overflowed());
  queue.take();
  EXPECT_FALSE(queue.push(0, text_event(1)));
}

TEST(EventQueue, AfterCloseNothingIsKeptAndNobodyWoken) {
  EventQueue queue(1000);
  int woken = 0;
  queue.set_wake([&] { ++woken; });
  queue.close();
  EXPECT_FALSE(queue.push(0, text_event(1)));
  EXPECT_TRUE(queue.take().empty());
  EXPECT_EQ(woken, 0);
}

TEST(Histogram, BucketsAreCumulativeAndBoundsInclusive) {
  static constexpr double kBounds[] = {1, 2};
  Histogram histogram(kBounds);
  for (const double value : {0.5, 1.0, 1.5, 3.0}) histogram.observe(value);
  std::string text;
  histogram.append(text, "h", "m=\"x\"");
  EXPECT_EQ(text,
            "h_bucket{m=\"x\",le=\"1\"} 2\nh_bucket{m=\"x\",le=\"2\"} 3\nh_bucket{m=\"x\",le=\"+Inf\"} 4\n"
            "h_sum{m=\"x\"} 6\nh_count{m=\"x\"} 4\n");
}

TEST(Metrics, LabelsAreEscaped) {
  const Metrics metrics("a\"b\\c\nd");
  EXPECT_NE(metrics.render({}, {}).find("model_name=\"a\\\"b\\\\c\\nd\""), std::string::npos);
}

TEST(Metrics, ShowTheUseOfExpertsByLayer) {
  EngineStats stats;
  EXPECT_EQ(Metrics("m").render(stats, {}).find("layer="), std::string::npos);
  stats.experts = {{{4, 4}, 0}, {{6, 2}, 3}};
  const std::string text = Metrics("m").render(stats, {});
  for (const char* line : {"ferrum:expert_load_entropy{model_name=\"m\",layer=\"0\"} 1\n",
                           "ferrum:expert_load_peak{model_name=\"m\",layer=\"1\"} 1.5\n",
                           "ferrum:router_faults_total{model_name=\"m\",layer=\"1\"} 3\n"}) {
    EXPECT_NE(text.find(line), std::string::npos) << text;
  }
}

}  // namespace
}  // namespace ferrum
