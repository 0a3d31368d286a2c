// A fixed set of threads that run one parallel loop at a time, for compute kernels.
//
// Which thread computes which piece never changes a result: callers give each index its own output and its own
// order of arithmetic.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace ferrum {

class ThreadPool {
 public:
  // threads >= 1 counts the calling thread: ThreadPool(1) starts no thread and runs loops inline.
  explicit ThreadPool(int threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls body(begin, end) over disjoint ranges that cover [0, count), each at most `grain` long (grain >= 1), from all
  // threads, and returns when all are done. Ranges are taken dynamically. Not reentrant: one loop at a time, from one
  // thread at a time; body must not throw and must not call parallel_for.
  // `body` is called in place: a loop allocates nothing.
  template <typename Body>
  void parallel_for(int64_t count, int64_t grain, const Body& body) {
    run(count, grain, &body,
        [](const void* b, int64_t begin, int64_t end) { (*static_cast<const Body*>(b))(begin, end); });
  }

 private:
  using Call = void (*)(const void* body, int64_t begin, int64_t end);

  void run(int64_t count, int64_t grain, const void* body, Call call);
  void worker_main();
  void run_ranges();
  bool has_news(uint64_t seen) const;
  bool join(uint64_t& seen);

  std::vector<std::thread> workers_;

  // The current loop. Written while it is closed and nobody is in it, read by those who joined it.
  const void* body_ = nullptr;
  Call call_ = nullptr;
  int64_t count_ = 0;
  int64_t grain_ = 1;
  std::atomic<int64_t> next_{0};

  // Which loop is current, whether it may still be joined, and how many workers are in it (see thread_pool.cc). The
  // caller waits for those who joined only: a worker that the system has not scheduled yet delays nobody.
  std::atomic<uint64_t> state_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace ferrum
