// Every weight type of backend "cpu", on every instruction set this machine has, against the reference backend; and the
// promise that a row's result depends on nothing but that row.
#include "backend/cpu/cpu_linear.h"

#include <gtest/gtest.h>

#include <cmath>

#include "backend/test_support.h"

namespace ferrum {
namespace {

using testing_support::available_isas;
using testing_support::every_level;
using testing_support::kLayouts;
using testing_support::Level;
using testing_support::linear_tolerance;
using testing_support::make_cpu;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::name_of;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::random_quantized;
using testing_support::random_stored;
using testing_support::same_bits;
using testing_support::Stored;

std::vector<float> run(Backend& backend, const LinearSpec& spec, Matrix& x) {
  const std::unique_ptr<Linear> linear = backend.make_linear(spec).value();
  Matrix y(x.rows_, linear->out_features());
  linear->forward(backend.ops(), x.view(), y.view());
  return y.data;
}

std::vector<int64_t> widths_for(DType dtype) {
  if (info(dtype).block_elements == 256) return {256, 512, 1280};
  if (info(dtype).block_elements == 32) return {32, 96, 256, 288, 736};
  return {1, 7, 16, 33, 64, 100, 257};
}

// Types whose weights do not depend on the layout are tested once.
bool tested_with(DType dtype, WeightLayout layout) { return info(dtype).quantized || layout == WeightLayout::kPanels; }

class LinearOfType : public ::testing::TestWithParam<DType> {};

// Every output of every level against the reference, for several numbers of tokens.
void expect_within_bound(const Stored& w, const std::vector<Level>& levels, Random& random) {
  const auto reference = make_reference();
  const std::vector<float> bias = random_floats(random, w.rows);
  for (const bool with_bias : {false, true}) {
    LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
    if (with_bias) spec.parts[0].bias = ConstView(bias.data(), DType::kF32, {w.rows});
    for (int64_t tokens : {0, 1, 2, 7, 33}) {
      Matrix x = Matrix::random(random, tokens, w.cols, 5);
      const std::vector<float> expected = run(*reference, spec, x);
      for (const auto& [isa, backend] : levels) {
        const std::vector<float> y = run(*backend, spec, x);
        for (int64_t i = 0; i < tokens * w.rows; ++i) {
          const int64_t r = i % w.rows, t = i / w.rows;
          const double exact = expected[static_cast<size_t>(i)];
          const float b = with_bias ? bias[static_cast<size_t>(r)] : 0.0f;
          ASSERT_NEAR(y[static_cast<size_t>(i)], exact, linear_tolerance(w, r, x.row(t), b, exact))
              << isa << ", " << describe(w.view()) << ", token " << t << " of " << tokens << ", row " << r;
        }
      }
    }
  }
}

TEST_P(LinearOfType, StaysWithinTheDerivedBoundOfTheReference) {
  for (const WeightLayout layout : kLayouts) {
    if (!tested_with(GetParam(), layout)) continue;
    SCOPED_TRACE(name_of(layout));
    Random random(1);
    const auto levels = every_level(2, layout);
    for (int64_t cols : widths_for(GetParam())) {
      for (int64_t rows : {1, 5, 33}) {
        expect_within_bound(random_stored(random, GetParam(), rows, cols), levels, random);
      }
    }
  }
}

TEST_P(LinearOfType, StaysWithinTheBoundForWeightsAsFilesHaveThem) {
  if (!info(GetParam()).quantized) return;  // plain numbers are those of the test above
  for (const WeightLayout layout : kLayouts) {
    SCOPED_TRACE(name_of(layout));
    Random random(6);
    const auto levels = every_level(2, layout);
    for (int64_t cols : {widths_for(GetParam())[0], widths_for(GetParam())[2]}) {
      expect_within_bound(random_quantized(random, GetParam(), 19, cols), levels, random);
    }
  }
}

// Token counts up to the largest tiles', and some that are made of several.
constexpr int64_t kTokenCounts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 13, 15, 16, 17, 23, 31, 32, 40};

void expect_same_bits(DType dtype, WeightLayout layout, int64_t cols) {
  Random random(2);
  const int64_t rows = 97;  // seven panels, of which the last has one row
  const Stored w = random_stored(random, dtype, rows, cols);
  const LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
  Matrix all = Matrix::random(random, 40, cols);
  std::vector<std::vector<float>> alone;
  const auto linear_on = [&](Backend& backend) { return backend.make_linear(spec).value(); };
  const auto one_thread = make_cpu("baseline", 1, 64, layout);
  const auto alone_linear = linear_on(*one_thread);
  for (int64_t t = 0; t < 40; ++t) {
    Matrix x(1, cols), y(1, rows);
    x.data.assign(all.row(t), all.row(t) + cols);
    alone_linear->forward(one_thread->ops(), x.view(), y.view());
    alone.push_back(y.data);
  }
  for (const std::string& isa : available_isas()) {
    for (int threads : {1, 3}) {
      const auto backend = make_cpu(isa, threads, 64, layout);
      const auto linear = linear_on(*backend);
      for (int64_t tokens : kTokenCounts) {
        // The last `tokens` rows, so that each row is met at many positions.
        Matrix x(tokens, cols);
        x.data.assign(all.row(40 - tokens), all.row(40 - tokens) + tokens * cols);
        Matrix y(tokens, rows);
        linear->forward(backend->ops(), x.view(), y.view());
        for (int64_t t = 0; t < tokens; ++t) {
          const std::vector<float> row(y.row(t), y.row(t) + rows);
          ASSERT_TRUE(same_bits(row, alone[static_cast<size_t>(40 - tokens + t)]))
              << isa << ", " << threads << " threads, token " << t << " of " << tokens;
        }
      }
    }
  }
}

TEST_P(LinearOfType, ARowIsTheSameBitsInAnyBatchOnAnyThreadsAndInstructionSet) {
  const int block = info(GetParam()).block_elements;
  for (const WeightLayout layout : kLayouts) {
    if (!tested_with(GetParam(), layout)) continue;
    SCOPED_TRACE(name_of(layout));
    expect_same_bits(GetParam(), layout, block == 256 ? 768 : block == 32 ? 352 : 345);
  }
}

// Nearly all weights of a row and all activations are the largest that 8 bits and fewer hold, of either sign: products
// that are added up in 16 bits (AVX2) come as near to their end as they can.
TEST_P(LinearOfType, TheLargestProductsDoNotOverflow) {
  if (!info(GetParam()).quantized) return;
  constexpr int64_t kRows = 16, kCols = 256;
  const auto reference = make_reference();
  for (const float sign : {1.0f, -1.0f}) {
    std::vector<float> values(kRows * kCols, sign);
    for (size_t i = 0; i < values.size(); i += 16) values[i] = -sign;  // or types with an offset store zeros
    const Stored w = testing_support::quantized(GetParam(), kRows, kCols, values);
    const LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
    Matrix x(2, kCols);
    std::fill_n(x.data.begin(), kCols, 1.0f);
    std::fill_n(x.data.begin() + kCols, kCols, -1.0f);
    const std::vector<float> expected = run(*reference, spec, x);
    for (const WeightLayout layout : kLayouts) {
      for (const auto& [isa, backend] : every_level(1, layout)) {
        const std::vector<float> y = run(*backend, spec, x);
        // Activations of one magnitude are exact, and so is all but the order of at most 16 sums.
        for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-3) << isa << ", " << name_of(layout);
      }
    }
  }
}

// Rows longer than the range of columns that is unpacked at a time, and more tokens than make one pass (168 of them).
TEST_P(LinearOfType, ALongRowAndManyTokensAreTheSameBitsAsOneTokenAlone) {
  if (!info(GetParam()).quantized) return;
  Random random(7);
  const int64_t cols = info(GetParam()).block_elements == 256 ? 2304 : 2144, rows = 33, tokens = 300;
  const Stored w = random_stored(random, GetParam(), rows, cols);
  const LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
  Matrix all = Matrix::random(random, tokens, cols);
  for (const std::string& isa : available_isas()) {
    if (isa == "baseline") continue;  // slow; the smaller shapes above compare it with the others
    const auto backend = make_cpu(isa, 2, tokens);
    const std::vector<float> together = run(*backend, spec, all);
    for (const int64_t t : {int64_t{0}, int64_t{167}, int64_t{168}, tokens - 1}) {
      Matrix x(1, cols);
      x.data.assign(all.row(t), all.row(t) + cols);
      const std::vector<float> row(together.begin() + t * rows, together.begin() + (t + 1) * rows);
      EXPECT_TRUE(same_bits(row, run(*backend, spec, x))) << isa << ", token " << t;
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
  for (const WeightLayout layout : kLayouts) {
    for (const std::string& isa : available_isas()) {
      SCOPED_TRACE(isa + ", " + name_of(layout));
      const std::vector<float> y = run(*make_cpu(isa, 2, 64, layout), spec, x);
      if (half_scales) {
        EXPECT_TRUE(std::isnan(y[0])) << "the row with a NaN scale";
        EXPECT_FALSE(std::isfinite(y[1])) << "the row with an infinite scale";
      }
      EXPECT_TRUE(std::isfinite(y[2]) && std::isfinite(y[3])) << "rows and tokens beside the bad ones";
      for (size_t r = 0; r < 4; ++r) {
        EXPECT_FALSE(std::isfinite(y[4 + r])) << "the token with a NaN, row " << r;
        EXPECT_FALSE(std::isfinite(y[8 + r])) << "the token with an infinity, row " << r;
      }
    }
  }
}

std::vector<DType> weight_types() {
  std::vector<DType> all;
  for (const DTypeInfo& t : all_dtypes()) all.push_back(t.dtype);
  return all;
}

INSTANTIATE_TEST_SUITE_P(EveryType, LinearOfType, ::testing::ValuesIn(weight_types()),
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
          ASSERT_NEAR(y[t * 46 + column], exact,
                      linear_tolerance(parts[p], r, x.row(static_cast<int64_t>(t)), b, exact))
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
