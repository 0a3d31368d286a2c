#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

namespace ferrum {
namespace {

TEST(ThreadPool, EveryIndexIsVisitedExactlyOnce) {
  for (int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int64_t count : {0, 1, 7, 64, 1001}) {
      for (int64_t grain : {1, 3, 64, 5000}) {
        std::vector<int> visits(static_cast<size_t>(count), 0);
        pool.parallel_for(count, grain, [&](int64_t begin, int64_t end) {
          ASSERT_LE(end - begin, grain);
          for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
        });
        for (int v : visits) ASSERT_EQ(v, 1) << threads << " threads, count " << count << ", grain " << grain;
      }
    }
  }
}

TEST(ThreadPool, ManyShortLoopsInARowLoseNoWork) {
  ThreadPool pool(3);
  int64_t total = 0;
  for (int round = 0; round < 5000; ++round) {
    std::vector<int64_t> out(8, 0);
    pool.parallel_for(8, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) out[static_cast<size_t>(i)] = i + round;
    });
    total += std::accumulate(out.begin(), out.end(), int64_t{0});
  }
  EXPECT_EQ(total, 5000 * 28 + 8 * (4999 * 5000 / 2));
}

// What the thread sanitizer is to look at: loops of all sizes in close succession, each reading what the one before
// wrote, with pauses long enough for the workers to fall asleep and pools ending right after a loop.
TEST(ThreadPool, LoopsThatDependOnEachOtherSeeAllEarlierWrites) {
  for (int threads : {2, 3, 8}) {
    for (int life = 0; life < 10; ++life) {
      ThreadPool pool(threads);
      std::vector<int64_t> values(257, 0);
      for (int round = 0; round < 200; ++round) {
        const int64_t count = 1 + (round * 37 + life) % 257;
        pool.parallel_for(count, 1 + round % 5, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) values[static_cast<size_t>(i)] += 1;
        });
        if (round % 100 == 99) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
      int64_t expected = 0, total = 0;
      for (int round = 0; round < 200; ++round) expected += 1 + (round * 37 + life) % 257;
      for (int64_t v : values) total += v;
      ASSERT_EQ(total, expected) << threads << " threads";
    }
  }
}

}  // namespace
}  // namespace ferrum
