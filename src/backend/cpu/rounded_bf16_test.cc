// BF16 weights times activations rounded to BF16 by the machine's own instruction. Where it has none, there is nothing
// to test here: the exact products are tested in cpu_linear_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/float_panels.h"
#include "backend/cpu/panels.h"
#include "backend/registry.h"
#include "backend/test_support.h"

namespace ferrum {
namespace {

using testing_support::gamma;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::random_quantized;
using testing_support::random_stored;
using testing_support::same_bits;
using testing_support::Stored;

std::unique_ptr<Backend> rounding(int threads, int max_tokens = 64) {
  return make_backend({.name = "cpu",
                       .isa = "avx512",
                       .threads = threads,
                       .limits = {.max_tokens = max_tokens},
                       .rounded_bf16 = true})
      .value();
}

std::vector<float> rounded_run(Backend& backend, const LinearSpec& spec, Matrix& x) {
  const std::unique_ptr<Linear> linear = backend.make_linear(spec).value();
  Matrix y(x.rows_, linear->out_features());
  linear->forward(backend.ops(), x.view(), y.view());
  return y.data;
}

class RoundedBf16Products : public ::testing::Test {
 protected:
  void SetUp() override {
    if (rounded_bf16_instruction().empty()) GTEST_SKIP() << "this machine has no instruction for BF16 products";
  }
};

// All rows in one task, by a kernel that need not be the one a backend takes here.
std::vector<float> products(const FloatPanelKernel& kernel, const WeightRef& weight, Matrix& x) {
  const int64_t rows = weight.matrix.dim(0), columns = weight.matrix.dim(1), stride = float_tile_stride(columns);
  ThreadPool alone(1);
  HostArena memory;
  const Buffer panels = pack_panels(weight.matrix, false, alone, memory).value();
  std::vector<std::byte> tiles(static_cast<size_t>((x.rows_ + kFloatTileTokens) * stride * kernel.element));
  for (int64_t token = 0; token < x.rows_; token += kFloatTileTokens) {
    kernel.arrange({x.row(token), columns, std::min<int64_t>(kFloatTileTokens, x.rows_ - token), columns, stride,
                    tiles.data() + token * stride * kernel.element});
  }
  std::vector<float> y(static_cast<size_t>(x.rows_ * rows));
  DotTask task;
  task.weights = static_cast<const std::byte*>(panels.data());
  task.row_bytes = panel_bytes(DType::kBF16, kPanelRows, columns) / kPanelRows;
  task.rows = rows;
  task.columns = columns;
  task.x = tiles.data();
  task.x_stride = stride;
  task.tokens = x.rows_;
  task.bias = weight.bias.rank > 0 ? weight.bias.as<float>() : nullptr;
  task.y = y.data();
  task.y_stride = rows;
  kernel.dot(task);
  return y;
}

// Rounding to 8 bits moves an activation by at most 2^-8 of it; a product of two BF16 numbers has 16 bits and is exact;
// the sum is rounded at most once per column and once more for the bias.
void expect_within_bound(const RoundedBf16& how, int64_t rows, int64_t columns, Random& random) {
  const auto reference = make_reference();
  const Stored w = random_stored(random, DType::kBF16, rows, columns);
  const std::vector<float> bias = random_floats(random, rows);
  const WeightRef weight{.name = "w", .matrix = w.view(), .bias = ConstView(bias.data(), DType::kF32, {rows})};
  std::vector<std::vector<float>> values;
  for (int64_t row = 0; row < rows; ++row) values.push_back(w.values(row));
  for (const int64_t tokens : {1, 2, 13, 16, 33, 47}) {
    Matrix x = Matrix::random(random, tokens, columns);
    const std::vector<float> expected = rounded_run(*reference, {{weight}}, x), got = products(how.kernel, weight, x);
    for (int64_t i = 0; i < tokens * rows; ++i) {
      const std::vector<float>& row = values[static_cast<size_t>(i % rows)];
      double magnitude = 0;
      for (size_t c = 0; c < row.size(); ++c) magnitude += std::abs(row[c] * x.row(i / rows)[c]);
      const double b = std::abs(bias[static_cast<size_t>(i % rows)]), exact = expected[static_cast<size_t>(i)];
      ASSERT_NEAR(
          got[static_cast<size_t>(i)], exact,
          0x1p-8 * magnitude + gamma(static_cast<double>(columns) + 2) * (magnitude + b) + 0x1p-24 * std::abs(exact))
          << how.instruction << ": " << rows << " x " << columns << ", " << tokens << " tokens, element " << i;
    }
  }
}

TEST_F(RoundedBf16Products, AreWithinTheDerivedBoundOfTheReference) {
  Random random(1);
  for (const RoundedBf16& how : all_rounded_bf16()) {
    for (const int64_t columns : {1, 2, 15, 32, 33, 64, 95, 257, 1024}) {
      for (const int64_t rows : {1, 16, 33, 70}) expect_within_bound(how, rows, columns, random);
    }
  }
}

TEST_F(RoundedBf16Products, OfATokenAreTheSameBitsInAnyCompany) {
  Random random(5);
  const int64_t rows = 50, columns = 171;
  const Stored w = random_stored(random, DType::kBF16, rows, columns);
  const WeightRef weight{.name = "w", .matrix = w.view(), .bias = {}};
  Matrix all = Matrix::random(random, 60, columns);
  for (const RoundedBf16& how : all_rounded_bf16()) {
    const std::vector<float> together = products(how.kernel, weight, all);
    for (int64_t first = 0, count = 1; first + count <= 60; ++first, count = first % 49 + 1) {
      Matrix some(count, columns);
      some.data.assign(all.row(first), all.row(first) + count * columns);
      const std::vector<float> wanted(together.begin() + first * rows, together.begin() + (first + count) * rows);
      ASSERT_TRUE(same_bits(products(how.kernel, weight, some), wanted)) << how.instruction << ", " << count;
    }
  }
}

// In a backend: more tokens than one pass, pieces of rows on several threads, an odd number of columns.
TEST_F(RoundedBf16Products, OfABackendAreTheSameBitsOnAnyThreads) {
  Random random(2);
  const int64_t rows = 75, columns = 343, tokens = 300;
  const Stored w = random_stored(random, DType::kBF16, rows, columns);
  const LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
  Matrix all = Matrix::random(random, tokens, columns);
  const std::vector<float> together = rounded_run(*rounding(1, tokens), spec, all);
  EXPECT_TRUE(same_bits(together, rounded_run(*rounding(3, tokens), spec, all)));
  EXPECT_TRUE(same_bits(together, products(cpu_rounded_bf16().kernel, spec.parts[0], all)));
}

TEST_F(RoundedBf16Products, ShowANumberThatIsNoneInItsTokenOnly) {
  Random random(3);
  const Stored w = random_stored(random, DType::kBF16, 20, 70);
  const LinearSpec spec{{{.name = "w", .matrix = w.view(), .bias = {}}}};
  Matrix x = Matrix::random(random, 3, 70);
  const auto backend = rounding(2);
  const std::vector<float> clean = rounded_run(*backend, spec, x);
  x.row(1)[69] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> got = rounded_run(*backend, spec, x);
  for (size_t r = 0; r < 20; ++r) {
    EXPECT_EQ(got[r], clean[r]);
    EXPECT_TRUE(std::isnan(got[20 + r]));
    EXPECT_EQ(got[40 + r], clean[40 + r]);
  }
}

// Files mix types in one projection: each part has its activations in its own form.
TEST_F(RoundedBf16Products, StandBesideOtherTypesInOneLinear) {
  Random random(4);
  const Stored rounded = random_stored(random, DType::kBF16, 40, 96), half = random_stored(random, DType::kF16, 17, 96),
               quantised = random_quantized(random, DType::kQ8_0, 35, 96);
  const WeightRef parts[] = {{.name = "a", .matrix = rounded.view(), .bias = {}},
                             {.name = "b", .matrix = half.view(), .bias = {}},
                             {.name = "c", .matrix = quantised.view(), .bias = {}}};
  Matrix x = Matrix::random(random, 14, 96);
  const auto backend = rounding(2);
  const std::vector<float> all = rounded_run(*backend, {{parts[0], parts[1], parts[2]}}, x);
  int64_t column = 0;
  for (const WeightRef& part : parts) {
    const std::vector<float> alone = rounded_run(*backend, {{part}}, x);
    const int64_t rows = part.matrix.dim(0);
    for (int64_t i = 0; i < 14 * rows; ++i) {
      ASSERT_EQ(all[static_cast<size_t>(i / rows * 92 + column + i % rows)], alone[static_cast<size_t>(i)])
          << part.name;
    }
    column += rows;
  }
}

// So that KV of the one is not taken for KV of the other.
TEST_F(RoundedBf16Products, HaveAnArithmeticOfTheirOwnWhereAModelHasSuchWeights) {
  const auto exact = make_backend({.name = "cpu", .isa = "avx512", .threads = 1, .limits = {}}).value();
  const auto rounded = rounding(1);
  const DType with[] = {DType::kF32, DType::kBF16}, without[] = {DType::kF32, DType::kQ4_K};
  EXPECT_EQ(exact->arithmetic(with), "cpu");
  EXPECT_EQ(rounded->arithmetic(with), "cpu-" + std::string(rounded_bf16_instruction()));
  EXPECT_EQ(rounded->arithmetic(without), "cpu");
}

}  // namespace
}  // namespace ferrum
