// Every weight type of backend "cpu", on every instruction set this machine has, against the reference backend; and the
// promise that a row's result depends on nothing but that row.
#include "backend/cpu/cpu_linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/test_support.h"

namespace ferrum {
namespace {

using testing_support::available_isas;
using testing_support::gamma;
using testing_support::make_cpu;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::random_stored;
using testing_support::same_bits;
using testing_support::Stored;

std::vector<float> run(Backend& backend, const LinearSpec& spec, Matrix& x) {
  const std::unique_ptr<Linear> linear = backend.make_linear(spec).value();
  Matrix y(x.rows_, linear->out_features());
  linear->forward(backend.ops(), x.view(), y.view());
  return y.data;
}

// The part of each weight that its format subtracts (dmin * min, or -m): what is left of a row, negated, when all
// integers of its blocks are zero. Empty for formats without one.
std::vector<float> offsets_of(const Stored& m, int64_t row) {
  Stored zeroed{m.dtype, 1, m.cols, std::vector<std::byte>(m.row(row), m.row(row) + bytes_of(m.dtype, m.cols))};
  const auto clear = [&](size_t at, size_t count) {
    const auto block_bytes = static_cast<size_t>(info(m.dtype).block_bytes);
    for (size_t b = 0; b < zeroed.bytes.size(); b += block_bytes) std::memset(zeroed.bytes.data() + b + at, 0, count);
  };
  switch (m.dtype) {
    case DType::kQ4_1: clear(offsetof(BlockQ4_1, qs), sizeof(BlockQ4_1::qs)); break;
    case DType::kQ5_1: clear(offsetof(BlockQ5_1, qh), sizeof(BlockQ5_1::qh) + sizeof(BlockQ5_1::qs)); break;
    case DType::kQ2_K: clear(offsetof(BlockQ2_K, qs), sizeof(BlockQ2_K::qs)); break;
    case DType::kQ4_K: clear(offsetof(BlockQ4_K, qs), sizeof(BlockQ4_K::qs)); break;
    case DType::kQ5_K: clear(offsetof(BlockQ5_K, qh), sizeof(BlockQ5_K::qh) + sizeof(BlockQ5_K::qs)); break;
    default: return {};
  }
  return zeroed.values(0);
}

// How far `cpu` may be from the reference for one output, by two causes:
//
// 1. Activations become d * q in groups of 32, d = max|x| / 127. Rounding to an integer moves x by at most d / 2; that
//    the factor 127 / max and the product x * factor are rounded moves x / d, which is at most 127, by 3 u more. Hence
//    |x - d q| <= d (1/2 + 127 * 4u), and the output moves by the sum of |w| times that.
// 2. Float roundings of the terms (D q_w) (d q_x) and m (d q_x), where w = D q_w - m: 3 in forming a term (scale times
//    integer scale, times d, times the integer dot product), 3 in adding chunks to the running sum, 1 for the offset,
//    n / 256 + 1 running additions of two kinds, 4 in adding the lanes, 1 for the bias; the reference's unpacking of w
//    adds 3. The integer dot product is exact. Each term is off by at most gamma of that number.
// Plain float weights have the second cause only: n / 64 additions in a running sum, 1 multiplication, 6 to add the
// sums and lanes, 1 bias.
// To both the reference's own rounding of the result is added, u |y|.
double tolerance(const Stored& w, int64_t row, const float* x, float bias, double y) {
  const std::vector<float> values = w.values(row), offsets = offsets_of(w, row);
  const bool quantized = info(w.dtype).quantized;
  const auto n = static_cast<size_t>(w.cols);
  const double roundings = quantized ? 3 + 3 + 1 + 2 * (static_cast<double>(n) / 256 + 1) + 4 + 1 + 3
                                     : static_cast<double>(n) / 64 + 1 + 1 + 6 + 1;
  double moved = 0, magnitude = std::abs(bias);
  for (size_t i = 0; i < n; ++i) {
    double d = 0;
    if (quantized) {
      float largest = 0;
      for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; ++j) largest = std::max(largest, std::abs(x[j]));
      d = largest / 127.0;
    }
    const double offset = offsets.empty() ? 0.0 : std::abs(offsets[i]);
    moved += std::abs(values[i]) * d * (0.5 + 127 * 4 * 0x1p-24);
    magnitude += (std::abs(values[i]) + 2 * offset) * (std::abs(x[i]) + d);
  }
  return moved + gamma(roundings) * magnitude + 0x1p-24 * std::abs(y);
}

std::vector<int64_t> widths_for(DType dtype) {
  if (info(dtype).block_elements == 256) return {256, 512, 1280};
  if (info(dtype).block_elements == 32) return {32, 96, 256, 288, 736};
  return {1, 7, 16, 33, 64, 100, 257};
}

class LinearOfType : public ::testing::TestWithParam<DType> {};

TEST_P(LinearOfType, StaysWithinTheDerivedBoundOfTheReference) {
  Random random(1);
  const auto reference = make_reference();
  for (int64_t cols : widths_for(GetParam())) {
    for (int64_t rows : {1, 5, 33}) {
      const Stored w = random_stored(random, GetParam(), rows, cols);
      const std::vector<float> bias = random_floats(random, rows);
      for (const bool with_bias : {false, true}) {
        LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
        if (with_bias) spec.parts[0].bias = ConstView(bias.data(), DType::kF32, {rows});
        for (int64_t tokens : {0, 1, 2, 3, 7, 16, 33}) {
          Matrix x = Matrix::random(random, tokens, cols, 5);
          const std::vector<float> expected = run(*reference, spec, x);
          for (const std::string& isa : available_isas()) {
            const std::vector<float> y = run(*make_cpu(isa), spec, x);
            for (int64_t i = 0; i < tokens * rows; ++i) {
              const int64_t r = i % rows;
              const double exact = expected[static_cast<size_t>(i)];
              const double allowed =
                  tolerance(w, r, x.row(i / rows), with_bias ? bias[static_cast<size_t>(r)] : 0.0f, exact);
              ASSERT_NEAR(y[static_cast<size_t>(i)], exact, allowed)
                  << isa << ", [" << rows << ", " << cols << "], token " << i / rows << " of " << tokens << ", row "
                  << r;
            }
          }
        }
      }
    }
  }
}

TEST_P(LinearOfType, ARowIsTheSameBitsInAnyBatchOnAnyThreadsAndInstructionSet) {
  Random random(2);
  const int64_t cols = info(GetParam()).block_elements == 256 ? 768 : info(GetParam()).block_elements == 32 ? 352 : 345;
  const int64_t rows = 37;
  const Stored w = random_stored(random, GetParam(), rows, cols);
  const LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
  Matrix all = Matrix::random(random, 40, cols);
  std::vector<std::vector<float>> alone;
  const auto one_thread = make_cpu("baseline", 1);
  for (int64_t t = 0; t < 40; ++t) {
    Matrix x(1, cols);
    x.data.assign(all.row(t), all.row(t) + cols);
    alone.push_back(run(*one_thread, spec, x));
  }
  for (const std::string& isa : available_isas()) {
    for (int threads : {1, 2, 3}) {
      const auto backend = make_cpu(isa, threads);
      for (int64_t tokens = 1; tokens <= 40; ++tokens) {
        // The last `tokens` rows, so that each row is met at many positions.
        Matrix x(tokens, cols);
        x.data.assign(all.row(40 - tokens), all.row(40 - tokens) + tokens * cols);
        const std::vector<float> y = run(*backend, spec, x);
        for (int64_t t = 0; t < tokens; ++t) {
          const std::vector<float> row(y.begin() + t * rows, y.begin() + (t + 1) * rows);
          ASSERT_TRUE(same_bits(row, alone[static_cast<size_t>(40 - tokens + t)]))
              << isa << ", " << threads << " threads, token " << t << " of " << tokens;
        }
      }
    }
  }
}

TEST_P(LinearOfType, NotANumberInAScaleOrAnActivationShowsAndDoesNoHarm) {
  Random random(3);
  const int64_t cols = 512, rows = 4;
  Stored w = random_stored(random, GetParam(), rows, cols);
  const bool half_scales = !testing_support::f16_fields(GetParam()).empty();
  const size_t blocks_per_row = static_cast<size_t>(cols / info(GetParam()).block_elements);
  testing_support::set_scales(w, 0, NAN);
  testing_support::set_scales(w, blocks_per_row, INFINITY);
  const LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
  Matrix x = Matrix::random(random, 3, cols);
  x.row(1)[5] = NAN;
  x.row(2)[300] = INFINITY;
  for (const std::string& isa : available_isas()) {
    const std::vector<float> y = run(*make_cpu(isa), spec, x);
    if (half_scales) {
      EXPECT_TRUE(std::isnan(y[0])) << isa << ": the row with a NaN scale";
      EXPECT_FALSE(std::isfinite(y[1])) << isa << ": the row with an infinite scale";
    }
    EXPECT_TRUE(std::isfinite(y[2]) && std::isfinite(y[3])) << isa << ": rows and tokens beside the bad ones";
    for (size_t r = 0; r < 4; ++r) {
      EXPECT_FALSE(std::isfinite(y[4 + r])) << isa << ": the token with a NaN, row " << r;
      EXPECT_FALSE(std::isfinite(y[8 + r])) << isa << ": the token with an infinity, row " << r;
    }
  }
}

std::vector<DType> types() {
  std::vector<DType> all;
  for (const DTypeInfo& t : all_dtypes()) all.push_back(t.dtype);
  return all;
}

INSTANTIATE_TEST_SUITE_P(EveryType, LinearOfType, ::testing::ValuesIn(types()),
                         [](const auto& type) { return std::string(to_string(type.param)); });

TEST(CpuLinear, PartsOfMixedTypesStandSideBySide) {
  Random random(4);
  const auto reference = make_reference();
  const Stored parts[] = {random_stored(random, DType::kQ4_K, 20, 512), random_stored(random, DType::kF16, 3, 512),
                          random_stored(random, DType::kQ6_K, 17, 512), random_stored(random, DType::kF64, 5, 512),
                          random_stored(random, DType::kQ8_0, 1, 512)};
  const std::vector<float> bias = random_floats(random, 20);
  LinearSpec spec;
  for (const Stored& part : parts) spec.parts.push_back({.name = "p", .matrix = part.view(), .bias = {}});
  spec.parts[0].bias = ConstView(bias.data(), DType::kF32, {20});
  spec.parts[3].bias = ConstView(bias.data(), DType::kF32, {5});
  Matrix x = Matrix::random(random, 9, 512);
  const std::vector<float> expected = run(*reference, spec, x);
  for (const std::string& isa : available_isas()) {
    const auto backend = make_cpu(isa, 3);
    const std::vector<float> y = run(*backend, spec, x);
    ASSERT_EQ(y.size(), 9u * 46u);
    size_t column = 0;
    for (size_t p = 0; p < spec.parts.size(); ++p) {
      for (int64_t r = 0; r < parts[p].rows; ++r, ++column) {
        const float b = spec.parts[p].bias.rank > 0 ? bias[static_cast<size_t>(r)] : 0.0f;
        for (size_t t = 0; t < 9; ++t) {
          const double exact = expected[t * 46 + column];
          ASSERT_NEAR(y[t * 46 + column], exact, tolerance(parts[p], r, x.row(static_cast<int64_t>(t)), b, exact))
              << isa << ", part " << p << ", row " << r << ", token " << t;
        }
      }
      // A part computed alone gives the same bits.
      const std::vector<float> alone = run(*backend, {{spec.parts[p]}}, x);
      const auto n = static_cast<size_t>(parts[p].rows);
      for (size_t t = 0; t < 9; ++t) {
        EXPECT_EQ(std::memcmp(&alone[t * n], &y[t * 46 + column - n], n * sizeof(float)), 0) << isa << ", part " << p;
      }
    }
  }
}

TEST(CpuLinear, WritesOnlyItsColumns) {
  Random random(5);
  const Stored w = random_stored(random, DType::kQ8_0, 8, 64);
  const auto backend = make_cpu("auto");
  const auto linear = backend->make_linear({{{.name = "w", .matrix = w.view(), .bias = {}}}}).value();
  Matrix x = Matrix::random(random, 5, 64);
  Matrix y(5, 8, 3);
  std::fill(y.data.begin(), y.data.end(), -7.0f);
  linear->forward(backend->ops(), x.view(), y.view());
  for (int64_t t = 0; t < 5; ++t) {
    for (int64_t i = 8; i < 11; ++i) EXPECT_EQ(y.row(t)[i], -7.0f);
  }
}

}  // namespace
}  // namespace ferrum
