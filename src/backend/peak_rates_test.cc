#include "backend/peak_rates.h"

#include <gtest/gtest.h>

#include "backend/cpu/kernels.h"

namespace ferrum {
namespace {

// The kernels count by computing: a loop from which the compiler had removed work would give another number.
TEST(PeakKernels, EveryLevelDoesTheMultiplyAddsThatItCounts) {
  for (CpuIsa isa : {CpuIsa::kBaseline, CpuIsa::kAvx2, CpuIsa::kAvx512}) {
    if (!cpu_isa_available(isa)) continue;
    const Kernels& kernels = cpu_kernels(isa);
    const double chains = isa == CpuIsa::kAvx512 ? 12 : 4;
    const double in_16_bits = isa == CpuIsa::kAvx2 ? 8 : 1;  // products, before they are widened
    EXPECT_EQ(kernels.peak_int8(0), 0) << to_string(isa);
    EXPECT_EQ(kernels.peak_int8(1000), 1000 * chains * in_16_bits * 64) << to_string(isa);
    EXPECT_EQ(kernels.peak_f32(1000), 1000 * chains * 16) << to_string(isa);
  }
  if (cpu_peak_bf16() != nullptr) {
    EXPECT_EQ(cpu_peak_bf16()(1000), 1000 * 12 * 32);
  }
}

TEST(PeakKernels, CountsAreExactUpToTheNamedBound) {
  EXPECT_EQ(cpu_kernels(best_cpu_isa()).peak_int8(kPeakRounds) / static_cast<double>(kPeakRounds),
            cpu_kernels(best_cpu_isa()).peak_int8(1));
}

TEST(PeakRates, OfBothKindsAreMeasured) {
  const PeakRates rates = measure_peak_rates(1);
  EXPECT_GT(rates.f32, 0);
  EXPECT_GT(rates.int8, 0);
  EXPECT_EQ(rates.bf16 > 0, cpu_peak_bf16() != nullptr);
}

}  // namespace
}  // namespace ferrum
