#include "base/thread_pool.h"

#include <algorithm>

#include "base/check.h"

namespace ferrum {
namespace {

// Loops follow each other within microseconds inside a step; waiting that long without sleeping saves the wake-up.
// Longer idling gives the core back to the HTTP server and other processes.
constexpr int kSpins = 2000;

// Fields of state_: workers in the loop, whether it is open, and its number.
constexpr uint64_t kInside = 0xffff;
constexpr uint64_t kOpen = 0x10000;
constexpr uint64_t kNextLoop = 0x20000;
constexpr uint64_t kLoop = ~(kNextLoop - 1);
constexpr int kMaxThreads = 0xffff;

void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

ThreadPool::ThreadPool(int threads) {
  FERRUM_CHECK(threads >= 1 && threads <= kMaxThreads, "a thread pool needs 1 to 65535 threads");
  workers_.reserve(static_cast<size_t>(threads - 1));
  for (int i = 1; i < threads; ++i) workers_.emplace_back([this] { worker_main(); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true, std::memory_order_release);
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
  body_ = body;
  call_ = call;
  count_ = count;
  grain_ = grain;
  next_.store(0, std::memory_order_relaxed);
  {
    // Under the mutex, so that no worker falls asleep between looking at the state and waiting.
    std::lock_guard<std::mutex> lock(mutex_);
    const uint64_t loop = (state_.load(std::memory_order_relaxed) & kLoop) + kNextLoop;
    state_.store(loop | kOpen, std::memory_order_release);
  }
  wake_.notify_all();
  run_ranges();
  state_.fetch_and(~kOpen, std::memory_order_acq_rel);
  for (int spins = 0; (state_.load(std::memory_order_acquire) & kInside) != 0; ++spins) {
    if (spins < kSpins)
      relax();
    else
      std::this_thread::yield();
  }
}

void ThreadPool::run_ranges() {
  for (;;) {
    const int64_t begin = next_.fetch_add(grain_, std::memory_order_relaxed);
    if (begin >= count_) return;
    call_(body_, begin, std::min(begin + grain_, count_));
  }
}

// Whether there is a loop to join, other than the one last seen, or the end.
bool ThreadPool::has_news(uint64_t seen) const {
  const uint64_t state = state_.load(std::memory_order_acquire);
  return ((state & kOpen) != 0 && (state & kLoop) != seen) || stop_.load(std::memory_order_acquire);
}

// Enters the current loop if it is open and not the one last seen.
bool ThreadPool::join(uint64_t& seen) {
  uint64_t state = state_.load(std::memory_order_acquire);
  while ((state & kOpen) != 0 && (state & kLoop) != seen) {
    if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      seen = state & kLoop;
      return true;
    }
  }
  return false;
}

void ThreadPool::worker_main() {
  uint64_t seen = 0;
  while (!stop_.load(std::memory_order_acquire)) {
    for (int spins = 0; spins < kSpins && !has_news(seen); ++spins) relax();
    if (!has_news(seen)) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return has_news(seen); });
    }
    if (!join(seen)) continue;
    run_ranges();
    state_.fetch_sub(1, std::memory_order_release);
  }
}

}  // namespace ferrum
