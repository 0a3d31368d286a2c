// Linear of backend "cuda" against the reference, for every type; and the same bits for any number of tokens.
#include <cmath>

#include "backend/cuda/cuda_test_support.h"

namespace ferrum {
namespace {

using testing_support::cuda_backends;
using testing_support::floats;
using testing_support::linear_tolerance;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::OnDevice;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::random_stored;
using testing_support::same_bits;
using testing_support::Stored;

std::vector<float> multiply(Backend& backend, const Linear& linear, const Matrix& x, int64_t gap = 0) {
  OnDevice memory(backend);
  const View y = memory.matrix(Matrix(x.rows_, linear.out_features(), gap));
  linear.forward(backend.ops(), memory.matrix(x), y);
  return memory.fetch(y);
}

// The bound of test_support.h for panels covers segments: a term takes as many roundings, a row's sum at most as many.
// Types without integers multiply floats by 32 chains, which round less often than its one.
void expect_linear(const Stored& w, const std::vector<float>& bias, Matrix& x) {
  const LinearSpec spec{{{"w", w.view(), bias.empty() ? ConstView() : floats(bias)}}};
  const auto reference = make_reference();
  const std::vector<float> expected = multiply(*reference, **reference->make_linear(spec), x);
  for (const auto& backend : cuda_backends()) {
    const auto linear = backend->make_linear(spec);
    ASSERT_TRUE(linear.is_ok()) << linear.status().message();
    const std::vector<float> y = multiply(*backend, **linear, x);
    ASSERT_EQ(y.size(), expected.size());
    for (int64_t t = 0; t < x.rows_; ++t) {
      for (int64_t r = 0; r < w.rows; ++r) {
        const auto i = static_cast<size_t>(t * w.rows + r);
        const float b = bias.empty() ? 0.0f : bias[static_cast<size_t>(r)];
        ASSERT_NEAR(y[i], expected[i], linear_tolerance(w, r, x.row(t), b, static_cast<double>(expected[i])))
            << to_string(w.dtype) << " [" << w.rows << ", " << w.cols << "], " << backend->describe() << ", token " << t
            << ", row " << r;
      }
    }
  }
}

TEST(CudaLinear, IsWithinItsRoundingsForEveryType) {
  Random random(11);
  for (const DTypeInfo& type : all_dtypes()) {
    const int64_t block = type.block_elements == 1 ? 25 : type.block_elements;
    for (const auto& [rows, blocks] : {std::pair{1, 1}, {21, 3}}) {
      const Stored w = random_stored(random, type.dtype, rows, block * blocks);
      const std::vector<float> bias = rows == 21 ? random_floats(random, rows) : std::vector<float>{};
      for (int64_t tokens : {0, 1, 9}) {
        Matrix x = Matrix::random(random, tokens, w.cols, 3);
        expect_linear(w, bias, x);
      }
    }
  }
}

TEST(CudaLinear, AddsUpSegmentsInRounds) {
  Random random(12);
  // Nine segments, the last of them short: two rounds of eight warps.
  for (DType dtype : {DType::kQ4_K, DType::kQ6_K}) {
    const Stored w = random_stored(random, dtype, 3, 8 * 512 + 256);
    Matrix x = Matrix::random(random, 2, w.cols);
    expect_linear(w, {}, x);
  }
}

TEST(CudaLinear, OutputsOfPartsStandSideBySide) {
  Random random(13);
  const Stored q = random_stored(random, DType::kQ4_K, 18, 256), k = random_stored(random, DType::kQ6_K, 5, 256),
               v = random_stored(random, DType::kF16, 7, 256);
  const LinearSpec spec{{{"q", q.view(), {}}, {"k", k.view(), {}}, {"v", v.view(), {}}}};
  const Matrix x = Matrix::random(random, 3, 256);
  for (const auto& backend : cuda_backends()) {
    const auto linear = backend->make_linear(spec).value();
    EXPECT_EQ(linear->in_features(), 256);
    EXPECT_EQ(linear->out_features(), 30);
    const std::vector<float> y = multiply(*backend, *linear, x, 4);
    int64_t column = 0;
    for (const Stored* w : {&q, &k, &v}) {
      const auto one = backend->make_linear({{{"w", w->view(), {}}}}).value();
      const std::vector<float> expected = multiply(*backend, *one, x);
      for (int64_t t = 0; t < 3; ++t) {
        for (int64_t r = 0; r < w->rows; ++r) {
          EXPECT_EQ(y[static_cast<size_t>(t * 34 + column + r)], expected[static_cast<size_t>(t * w->rows + r)]);
        }
      }
      column += w->rows;
    }
  }
}

TEST(CudaLinear, GivesATokenTheSameBitsInEveryBatch) {
  Random random(14);
  for (DType dtype : {DType::kQ8_0, DType::kQ4_K, DType::kQ6_K, DType::kIQ4_XS, DType::kF16, DType::kF32}) {
    const Stored w = random_stored(random, dtype, 20, 768);
    const Matrix x = Matrix::random(random, 37, w.cols);
    for (const auto& backend : cuda_backends()) {
      const auto linear = backend->make_linear({{{"w", w.view(), {}}}}).value();
      const std::vector<float> together = multiply(*backend, *linear, x);
      for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 1}, {36, 1}, {3, 8}, {20, 9}}) {
        Matrix some(count, w.cols);
        std::copy_n(x.data.begin() + begin * w.cols, count * w.cols, some.data.begin());
        const auto first = together.begin() + begin * w.rows;
        EXPECT_TRUE(same_bits(multiply(*backend, *linear, some), {first, first + count * w.rows}))
            << to_string(dtype) << ", " << count << " tokens from " << begin << ", " << backend->describe();
      }
    }
  }
}

// A group of 32 weights as kernels/linear.h has them.
struct Group {
  std::vector<int> q;
  float scale, offset;
};
Group group_of(const BlockQ8_0& b, int) { return {{b.qs, b.qs + 32}, f16_to_f32(b.d), 0.0f}; }
Group group_of(const BlockQ4_K& b, int group) {
  uint8_t scales[8], mins[8];
  unpack_scales_q4_k(b.scales, scales, mins);
  Group g{
      {}, f16_to_f32(b.d) * static_cast<float>(scales[group]), -(f16_to_f32(b.dmin) * static_cast<float>(mins[group]))};
  for (int i = 0; i < 32; ++i) g.q.push_back(b.qs[32 * (group / 2) + i] >> (4 * (group % 2)) & 0x0f);
  return g;
}

// The arithmetic that kernels/linear.h promises, in the order it promises.
template <typename Block>
float promised(const Stored& w, int64_t row, const float* x, bool has_offset) {
  std::vector<ActBlock32> activations(static_cast<size_t>(w.cols / 32));
  quantize_activations(x, activations.data(), w.cols);
  const auto* blocks = reinterpret_cast<const Block*>(w.row(row));
  constexpr int kGroups = kElementsOf<Block> / 32;
  float result = 0, segment = 0;
  for (int64_t g = 0; g < w.cols / 32; ++g) {
    const Group group = group_of(blocks[g / kGroups], static_cast<int>(g % kGroups));
    const ActBlock32& a = activations[static_cast<size_t>(g)];
    int dot = 0;
    for (size_t i = 0; i < 32; ++i) dot += group.q[i] * a.qs[i];
    segment = std::fma(static_cast<float>(dot) * group.scale, a.d, segment);
    if (has_offset) segment = std::fma(group.offset, a.d * static_cast<float>(a.sum), segment);
    if ((g + 1) % 16 != 0 && g + 1 != w.cols / 32) continue;
    result += segment;
    segment = 0;
  }
  return result;
}

TEST(CudaLinear, GivesTheBitsOfItsArithmetic) {
  Random random(16);
  Matrix x = Matrix::random(random, 2, 1280);
  const Stored q8 = random_stored(random, DType::kQ8_0, 17, 1280), q4 = random_stored(random, DType::kQ4_K, 17, 1280);
  for (const auto& backend : cuda_backends()) {
    for (const Stored* w : {&q8, &q4}) {
      const auto linear = backend->make_linear({{{"w", w->view(), {}}}}).value();
      const std::vector<float> y = multiply(*backend, *linear, x);
      for (int64_t t = 0; t < 2; ++t) {
        for (int64_t r = 0; r < 17; ++r) {
          const float expected =
              w == &q8 ? promised<BlockQ8_0>(*w, r, x.row(t), false) : promised<BlockQ4_K>(*w, r, x.row(t), true);
          EXPECT_EQ(y[static_cast<size_t>(17 * t + r)], expected) << to_string(w->dtype) << ", " << backend->describe();
        }
      }
    }
  }
}

TEST(CudaLinear, NotANumberShowsInItsTokenOnly) {
  Random random(15);
  for (DType dtype : {DType::kQ4_K, DType::kF16}) {
    const Stored w = random_stored(random, dtype, 4, 256);
    Matrix x = Matrix::random(random, 3, 256);
    x.row(1)[77] = NAN;
    x.row(2)[200] = INFINITY;
    for (const auto& backend : cuda_backends()) {
      const auto linear = backend->make_linear({{{"w", w.view(), {}}}}).value();
      const std::vector<float> y = multiply(*backend, *linear, x);
      for (size_t r = 0; r < 4; ++r) {
        EXPECT_TRUE(std::isfinite(y[r])) << to_string(dtype);
        EXPECT_FALSE(std::isfinite(y[4 + r])) << to_string(dtype);
        EXPECT_FALSE(std::isfinite(y[8 + r])) << to_string(dtype);
      }
    }
  }
}

}  // namespace
}  // namespace ferrum
