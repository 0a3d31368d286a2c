// The kernels' building blocks, on every instruction set this machine has.
#include "backend/cpu/kernels.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "backend/test_support.h"

namespace ferrum {
namespace {

using testing_support::Random;
using testing_support::random_floats;
using testing_support::same_bits;

std::vector<float> exp_of(CpuIsa isa, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  cpu_kernels(isa).exp(x.data(), static_cast<int64_t>(x.size()), y.data());
  return y;
}

// Floats between a and b (inclusive) as ordered integers.
int64_t steps_between(float a, float b) {
  const auto order = [](float x) {
    const auto bits = std::bit_cast<int32_t>(x);
    return bits < 0 ? -int64_t{bits & 0x7fffffff} : int64_t{bits};
  };
  return std::abs(order(a) - order(b));
}

TEST(Exp, IsWithinTwoStepsOfTheExactValueOverItsWholeRange) {
  std::vector<float> x;
  // Every 1021st float from 0 to 110, of either sign: exponents from the subnormals up, all mantissa patterns.
  for (uint32_t bits = 0; bits < std::bit_cast<uint32_t>(110.0f); bits += 1021) {
    x.push_back(std::bit_cast<float>(bits));
    x.push_back(-x.back());
  }
  for (CpuIsa isa : available_cpu_isas()) {
    const std::vector<float> y = exp_of(isa, x);
    int64_t worst = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const auto exact = static_cast<float>(std::exp(static_cast<double>(x[i])));
      const int64_t steps = steps_between(y[i], exact);
      ASSERT_LE(steps, 2) << to_string(isa) << ": exp(" << x[i] << ") = " << y[i] << ", exactly " << exact;
      worst = std::max(worst, steps);
    }
    RecordProperty("worst_" + std::string(to_string(isa)), static_cast<int>(worst));
  }
}

TEST(Exp, SpecialValues) {
  for (CpuIsa isa : available_cpu_isas()) {
    const std::vector<float> y =
        exp_of(isa, {0.0f, -0.0f, INFINITY, -INFINITY, 1000.0f, -1000.0f, NAN, 88.72f, -103.9f});
    EXPECT_EQ(y[0], 1.0f);
    EXPECT_EQ(y[1], 1.0f);
    EXPECT_EQ(y[2], INFINITY);
    EXPECT_EQ(y[3], 0.0f);
    EXPECT_EQ(y[4], INFINITY);
    EXPECT_EQ(y[5], 0.0f);
    EXPECT_TRUE(std::isnan(y[6]));
    EXPECT_TRUE(std::isfinite(y[7]) && y[7] > 3.3e38f);
    EXPECT_GT(y[8], 0.0f);
  }
}

TEST(Exp, SameBitsOnEveryLevel) {
  Random random(1);
  const std::vector<float> x = random_floats(random, 100003, 20.0f);
  for (CpuIsa isa : available_cpu_isas())
    EXPECT_TRUE(same_bits(exp_of(isa, x), exp_of(CpuIsa::kBaseline, x))) << to_string(isa);
}

TEST(QuantizeActivations, AgreesWithTheScalarDefinitionBitForBit) {
  Random random(2);
  for (CpuIsa isa : available_cpu_isas()) {
    for (int64_t n : {32, 64, 256, 288, 1024}) {
      std::vector<float> x = random_floats(random, n, 4.0f);
      x[3] = 1e-38f;
      for (int i = 0; i < 32; ++i)
        x[static_cast<size_t>(n - 32 + i)] *= n == 64 ? 1e-35f : 1.0f;  // a group that vanishes
      if (n == 288) x[40] = NAN;
      if (n == 1024) x[1000] = -INFINITY;
      if (n == 256) x[7] = 1e30f;
      std::vector<ActBlock32> expected(static_cast<size_t>(n / 32));
      quantize_activations(x.data(), expected.data(), n);
      std::vector<ActBlock> blocks(static_cast<size_t>((n + 255) / 256));
      std::memset(static_cast<void*>(blocks.data()), 0x55, blocks.size() * sizeof(ActBlock));
      cpu_kernels(isa).quantize(x.data(), n, blocks.data());
      for (size_t g = 0; g < blocks.size() * 8; ++g) {
        const ActBlock& b = blocks[g / 8];
        const ActBlock32 e = g < expected.size() ? expected[g] : ActBlock32{};
        ASSERT_EQ(std::memcmp(b.q + g % 8 * 32, e.qs, 32), 0) << to_string(isa) << ", n " << n << ", group " << g;
        const float d = b.d[g % 8];
        ASSERT_TRUE(d == e.d || (std::isnan(d) && std::isnan(e.d))) << to_string(isa) << ", n " << n << ", group " << g;
        if (std::isnan(d)) {
          EXPECT_TRUE(std::isnan(b.sum32[g % 8]) && std::isnan(b.sum16[g % 8 * 2]) &&
                      std::isnan(b.sum16[g % 8 * 2 + 1]));
          continue;
        }
        int sums[2] = {0, 0};
        for (int i = 0; i < 32; ++i) sums[i / 16] += e.qs[i];
        EXPECT_EQ(b.sum32[g % 8], e.d * static_cast<float>(e.sum));
        EXPECT_EQ(b.sum16[g % 8 * 2], e.d * static_cast<float>(sums[0]));
        EXPECT_EQ(b.sum16[g % 8 * 2 + 1], e.d * static_cast<float>(sums[1]));
      }
    }
  }
}

// A row of one 16-bit weight at a time, times 1: every bit pattern there is, read as the format defines.
template <typename Convert>
void expect_every_pattern(DType dtype, Convert convert) {
  std::vector<uint16_t> patterns(65536);
  for (size_t i = 0; i < patterns.size(); ++i) patterns[i] = static_cast<uint16_t>(i);
  const float one = 1.0f;
  for (CpuIsa isa : available_cpu_isas()) {
    std::vector<float> y(patterns.size());
    DotTask task;
    task.weights = reinterpret_cast<const std::byte*>(patterns.data());
    task.row_bytes = 2;
    task.rows = 65536;
    task.columns = 1;
    task.x = &one;
    task.x_stride = 1;
    task.tokens = 1;
    task.y = y.data();
    cpu_kernels(isa).dot[static_cast<size_t>(dtype)](task);
    for (size_t i = 0; i < patterns.size(); ++i) {
      const float expected = convert(patterns[i]);
      ASSERT_TRUE(y[i] == expected || (std::isnan(y[i]) && std::isnan(expected)))
          << to_string(isa) << ", pattern " << i;
    }
  }
}

TEST(HalfPrecision, EveryF16AndBF16PatternIsReadExactly) {
  expect_every_pattern(DType::kF16, f16_to_f32);
  expect_every_pattern(DType::kBF16, bf16_to_f32);
}

TEST(HalfPrecision, StoringRoundsLikeTheScalarConversion) {
  Random random(3);
  std::vector<float> x = random_floats(random, 1003, 1.0f);
  for (size_t i = 0; i < x.size(); ++i)
    x[i] *= std::pow(2.0f, static_cast<float>(i % 60) - 40.0f);  // overflow to subnormal
  x[0] = 65519.9f, x[1] = 65520.0f, x[2] = INFINITY, x[3] = 0x1p-25f, x[4] = -0.0f;
  for (CpuIsa isa : available_cpu_isas()) {
    for (int64_t n : {1, 7, 16, 40, 1003}) {
      std::vector<uint16_t> stored(static_cast<size_t>(n) + 1, 0xabcd);
      cpu_kernels(isa).store_kv({DType::kF16, x.data(), n, stored.data()});
      for (size_t i = 0; i < static_cast<size_t>(n); ++i)
        ASSERT_EQ(stored[i], f32_to_f16(x[i])) << to_string(isa) << x[i];
      EXPECT_EQ(stored.back(), 0xabcd) << "wrote beyond the end";
      cpu_kernels(isa).store_kv({DType::kBF16, x.data(), n, stored.data()});
      for (size_t i = 0; i < static_cast<size_t>(n); ++i)
        ASSERT_EQ(stored[i], f32_to_bf16(x[i])) << to_string(isa) << x[i];
      EXPECT_EQ(stored.back(), 0xabcd) << "wrote beyond the end";
    }
  }
}

}  // namespace
}  // namespace ferrum
