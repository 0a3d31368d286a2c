#include "base/thread_pool.h"

#include <gtest/gtest.h>

#include <numeric>

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

}  // namespace
}  // namespace ferrum
