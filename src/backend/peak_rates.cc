#include "backend/peak_rates.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "backend/cpu/kernels.h"
#include "base/thread_pool.h"

namespace ferrum {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Rounds that take about half a millisecond: long beside the pool's hand-over, short beside a time slice.
int64_t rounds_per_piece(Kernels::Peak kernel) {
  constexpr double kSeconds = 0.5e-3;
  for (int64_t rounds = 64;; rounds *= 2) {
    const auto begin = Clock::now();
    kernel(rounds);
    const double taken = seconds_since(begin);
    if (taken >= kSeconds / 2 || rounds >= kPeakRounds / 2) return rounds;
  }
}

double rate(Kernels::Peak kernel, ThreadPool& pool) {
  constexpr int kPasses = 5, kPiecesPerThread = 20;
  const int64_t rounds = rounds_per_piece(kernel);
  const double per_piece = 2 * kernel(rounds);  // a multiply-add is two operations
  const int64_t pieces = int64_t{kPiecesPerThread} * pool.size();
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto begin = Clock::now();
    pool.parallel_for(pieces, 1, [&](int64_t, int64_t) { kernel(rounds); });
    best = std::max(best, per_piece * static_cast<double>(pieces) / seconds_since(begin));
  }
  return best;
}

}  // namespace

PeakRates measure_peak_rates(int threads) {
  ThreadPool pool(std::max(threads, 1));
  const Kernels& kernels = cpu_kernels(best_cpu_isa());
  PeakRates rates;
  rates.int8 = rate(kernels.peak_int8, pool);
  rates.f32 = rate(kernels.peak_f32, pool);
  if (const Kernels::Peak bf16 = cpu_peak_bf16(); bf16 != nullptr) rates.bf16 = rate(bf16, pool);
  return rates;
}

}  // namespace ferrum
