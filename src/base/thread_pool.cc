#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

namespace ferrum {
namespace {

// Loops follow each other within microseconds inside a step; waiting that long without sleeping saves the wake-up.
// Longer idling gives the core back to the HTTP server and other processes.
constexpr int kSpins = 2000;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  FERRUM_CHECK(threads >= 1, "a thread pool needs at least the calling thread");
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { worker_main(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::run(int64_t count, int64_t grain, const void* body, Call call) {
  FERRUM_CHECK(grain >= 1, "grain must be positive");
  if (count <= 0) return;
  if (workers_.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) call(body, begin, std::min(begin + grain, count));
    return;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    body_ = body;
    call_ = call;
    count_ = count;
    grain_ = grain;
    next_.store(0, std::memory_order_relaxed);
    busy_.store(static_cast<int>(workers_.size()), std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  run_ranges();
  for (int spins = 0; busy_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) relax();
    else std::this_thread::yield();
  }
}

void ThreadPool::run_ranges() {
  for (;;) {
    const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= count_) return;
    call_(body_, begin, std::min(begin + grain_, count_));
  }
}

void ThreadPool::worker_main() {
  uint64_t seen = 0;
  for (;;) {
    for (int spins = 0; spins < kSpins && generation_.load(std::memory_order_acquire) == seen; ++spins) relax();
    if (generation_.load(std::memory_order_acquire) == seen) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return generation_.load(std::memory_order_acquire) != seen; });
    }
    seen = generation_.load(std::memory_order_acquire);
    if (stop_) return;
    run_ranges();
    busy_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace ferrum
