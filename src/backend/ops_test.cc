// The remaining ops of backend "cpu" against the reference, each within a derived bound and with the same bits on every
// instruction set. u = 2^-24 is the relative error of one float rounding.
#include <gtest/gtest.h>

#include <cmath>

#include "backend/qkv_for_test.h"

namespace ferrum {
namespace {

using testing_support::available_isas;
using testing_support::every_level;
using testing_support::floats;
using testing_support::gamma;
using testing_support::ints;
using testing_support::make_cpu;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::qkv_args;
using testing_support::QkvCase;
using testing_support::QkvInput;
using testing_support::QkvResult;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::random_stored;
using testing_support::same_bits;
using testing_support::Stored;

constexpr int64_t kTokenCounts[] = {0, 1, 2, 3, 7, 16, 33};

// Runs op(ops) -> results on the reference and every instruction set; compare(expected, result, isa).
template <typename Run, typename Compare>
void on_every_backend(const Run& run, const Compare& compare) {
  static const auto reference = make_reference();
  static const auto alone = every_level(1), together = every_level(3);
  const std::vector<float> expected = run(reference->ops());
  std::vector<float> first;
  for (const auto* levels : {&alone, &together}) {
    for (const auto& [isa, backend] : *levels) {
      const std::vector<float> result = run(backend->ops());
      ASSERT_EQ(result.size(), expected.size());
      for (size_t i = 0; i < result.size(); ++i) compare(i, result[i], expected[i], isa);
      if (first.empty()) first = result;
      EXPECT_TRUE(same_bits(result, first)) << backend->describe() << " differs in bits";
    }
  }
}

void expect_equal(size_t i, float result, float expected, const std::string& isa) {
  ASSERT_EQ(result, expected) << isa << ", element " << i;
}

TEST(Embed, GivesTheDequantisedRowsOfEveryType) {
  Random random(1);
  for (const DTypeInfo& type : all_dtypes()) {
    const int64_t hidden = type.block_elements == 1 ? 77 : 2 * type.block_elements;
    const Stored table = random_stored(random, type.dtype, 9, hidden);
    for (int64_t tokens : kTokenCounts) {
      std::vector<int32_t> ids;
      for (int64_t t = 0; t < tokens; ++t) ids.push_back(static_cast<int32_t>(random() % 9));
      const auto run = [&](Ops& ops) {
        Matrix y(tokens, hidden, 3);
        ops.embed(table.view(), ints(ids), y.view());
        return y.data;
      };
      on_every_backend(run, expect_equal);
      const std::vector<float> y = run(make_reference()->ops());
      for (size_t t = 0; t < ids.size(); ++t) {
        const std::vector<float> row = table.values(ids[t]);
        EXPECT_EQ(std::memcmp(&y[t * static_cast<size_t>(hidden + 3)], row.data(), row.size() * sizeof(float)), 0);
      }
    }
  }
}

// The factor is rounded once (its double sum is exact to 2^-50), then x * factor and * weight: 3 u; the reference
// rounds its double result once. One more for the second-order terms.
TEST(RmsNorm, IsWithinFiveRoundings) {
  Random random(2);
  for (int64_t n : {1, 7, 16, 64, 100, 2049}) {
    for (int64_t tokens : kTokenCounts) {
      Matrix x = Matrix::random(random, tokens, n, 2, 5.0f), delta = Matrix::random(random, tokens, n);
      const std::vector<float> weight = random_floats(random, n);
      const auto near = [](size_t i, float y, float e, const std::string& isa) {
        ASSERT_NEAR(y, e, gamma(5) * std::abs(e)) << isa << ", element " << i;
      };
      on_every_backend(
          [&](Ops& ops) {
            Matrix y(tokens, n);
            ops.rms_norm(x.view(), floats(weight), 1e-5f, y.view());
            return y.data;
          },
          near);
      on_every_backend(
          [&](Ops& ops) {
            Matrix y = x;
            ops.rms_norm(y.view(), floats(weight), 1e-5f, y.view());  // in place
            return y.data;
          },
          [&](size_t i, float y, float e, const std::string& isa) {
            if (static_cast<int64_t>(i) % (n + 2) < n)
              near(i, y, e, isa);
            else
              ASSERT_EQ(y, x.data[i]) << "wrote between the rows";
          });
      on_every_backend(
          [&](Ops& ops) {
            Matrix residual = x, y(tokens, n);
            ops.add_rms_norm(residual.view(), delta.view(), floats(weight), 1e-6f, y.view());
            return y.data;
          },
          near);
      on_every_backend(
          [&](Ops& ops) {
            Matrix residual = x, y(tokens, n);
            ops.add_rms_norm(residual.view(), delta.view(), floats(weight), 1e-6f, y.view());
            return residual.data;
          },
          expect_equal);
    }
  }
}

TEST(RmsNorm, ZerosStayZeroAndNotANumberShows) {
  const std::vector<float> weight(40, 2.0f);
  Matrix x(2, 40);
  x.row(1)[3] = NAN;
  for (const std::string& isa : available_isas()) {
    Matrix y(2, 40);
    make_cpu(isa)->ops().rms_norm(x.view(), floats(weight), 1e-6f, y.view());
    for (int i = 0; i < 40; ++i) {
      EXPECT_EQ(y.row(0)[i], 0.0f);
      EXPECT_TRUE(std::isnan(y.row(1)[i]));
    }
  }
}

TEST(Add, IsExact) {
  Random random(3);
  for (int64_t n : {1, 17, 300}) {
    for (int64_t tokens : kTokenCounts) {
      Matrix x = Matrix::random(random, tokens, n, 4), delta = Matrix::random(random, tokens, n, 1);
      on_every_backend(
          [&](Ops& ops) {
            Matrix y = x;
            ops.add(y.view(), delta.view());
            return y.data;
          },
          expect_equal);
    }
  }
}

TEST(RopeCosSin, IsExact) {
  const std::vector<int32_t> positions = {0, 1, 2, 77, 4095, 131071, 1 << 30};
  const std::vector<float> inv_freq = {1.0f, 0.5f, 0.1f, 1e-3f, 1e-6f};
  on_every_backend(
      [&](Ops& ops) {
        Matrix y(7, 10);
        ops.rope_cos_sin(ints(positions), floats(inv_freq), 1.25f, y.view());
        return y.data;
      },
      expect_equal);
  Matrix y(7, 10);
  make_reference()->ops().rope_cos_sin(ints(positions), floats(inv_freq), 1.25f, y.view());
  EXPECT_EQ(y.row(0)[0], 1.25f);
  EXPECT_EQ(y.row(0)[5], 0.0f);
  EXPECT_FLOAT_EQ(y.row(2)[1], 1.25f * std::cos(1.0f));
  EXPECT_FLOAT_EQ(y.row(2)[6], 1.25f * std::sin(1.0f));
}

// exp is within two steps (4 u of its value, which moves 1 / (1 + e) by no more); one rounding each for 1 + e, the
// division and the product with `up`; one of the reference. Where exp(-x) overflows the result is 0 instead of
// something below 89 * 2^-127.
TEST(SiluMul, IsWithinEightRoundings) {
  Random random(4);
  for (int64_t n : {1, 5, 16, 33, 172}) {
    for (int64_t tokens : kTokenCounts) {
      Matrix gate_up = Matrix::random(random, tokens, 2 * n, 0, 20.0f);
      if (tokens > 1) gate_up.row(1)[0] = -1000.0f;
      if (tokens > 2) gate_up.row(2)[0] = 1000.0f;
      on_every_backend(
          [&](Ops& ops) {
            Matrix y(tokens, n);
            ops.silu_mul(gate_up.view(), y.view());
            return y.data;
          },
          [](size_t i, float y, float e, const std::string& isa) {
            ASSERT_NEAR(y, e, gamma(8) * std::abs(e) + 1000 * 0x1p-119) << isa << ", element " << i;
          });
    }
  }
}

TEST(GatherRows, CopiesTheRows) {
  Random random(5);
  Matrix x = Matrix::random(random, 6, 50, 3);
  const std::vector<int32_t> rows = {5, 0, 0, 3};
  on_every_backend(
      [&](Ops& ops) {
        Matrix y(4, 50);
        ops.gather_rows(x.view(), ints(rows), y.view());
        return y.data;
      },
      expect_equal);
  Matrix y(4, 50);
  make_cpu("auto")->ops().gather_rows(x.view(), ints(rows), y.view());
  EXPECT_EQ(y.row(3)[49], x.row(3)[49]);
}

QkvResult run_qkv(Ops& ops, const QkvCase& c, const QkvInput& in) {
  constexpr int kBlocks = 5, kBlockSize = 16;
  Stored k{c.dtype, kBlocks * c.kv_heads * kBlockSize, c.head_dim, {}}, v = k;
  k.bytes.resize(bytes_of(c.dtype, k.rows * k.cols));
  v.bytes = k.bytes;
  Matrix qkv = in.qkv, cos_sin = in.cos_sin;
  QkvArgs args = qkv_args(c, qkv.view());
  if (c.norm) {
    args.q_norm = floats(in.q_norm);
    args.k_norm = floats(in.k_norm);
  }
  args.cos_sin = cos_sin.view();
  args.kv.k = View(k.bytes.data(), c.dtype, {kBlocks, c.kv_heads, kBlockSize, c.head_dim});
  args.kv.v = View(v.bytes.data(), c.dtype, {kBlocks, c.kv_heads, kBlockSize, c.head_dim});
  args.slots = ints(in.slots);
  ops.norm_rope_store(args);
  QkvResult result;
  for (int64_t t = 0; t < qkv.rows_; ++t) result.q.insert(result.q.end(), qkv.row(t), qkv.row(t) + args.q.dim(1));
  const auto flatten = [](const Stored& m) {
    std::vector<float> all(static_cast<size_t>(m.rows * m.cols));
    dequantize_row(m.dtype, m.bytes.data(), all.data(), m.rows * m.cols);
    return all;
  };
  result.k = flatten(k);
  result.v = flatten(v);
  return result;
}

// The norm's 5 roundings (none without a norm), two products and their sum: 2, the reference's result: 1. All relative
// to |a c| + |b s|, at most sqrt(2) times the largest element here. Storing in 16 bits rounds once more, on either
// side.
TEST(NormRopeStore, IsWithinTheRoundingsOfItsSteps) {
  Random random(6);
  for (const QkvCase& c : {QkvCase{RopeLayout::kInterleaved, 4, 2, 8, 8, false, DType::kF16},
                           QkvCase{RopeLayout::kHalfSplit, 3, 1, 24, 16, false, DType::kF32},
                           QkvCase{RopeLayout::kHalfSplit, 4, 4, 64, 64, true, DType::kBF16},
                           QkvCase{RopeLayout::kInterleaved, 5, 5, 20, 6, true, DType::kF32},
                           QkvCase{RopeLayout::kInterleaved, 2, 1, 128, 0, true, DType::kF16}}) {
    const QkvInput in(random, c);
    const QkvResult expected = run_qkv(make_reference()->ops(), c, in);
    const float largest = expected.largest();
    const double float_error = gamma((c.norm ? 5 : 0) + 3) * 1.5 * largest;
    const double storing = c.dtype == DType::kF16 ? 0x1p-11 : c.dtype == DType::kBF16 ? 0x1p-8 : 0;
    for (const std::string& isa : available_isas()) {
      const QkvResult result = run_qkv(make_cpu(isa, 3)->ops(), c, in);
      const QkvResult baseline = run_qkv(make_cpu("baseline", 1)->ops(), c, in);
      EXPECT_TRUE(same_bits(result.q, baseline.q) && same_bits(result.k, baseline.k)) << isa;
      for (size_t i = 0; i < result.q.size(); ++i) ASSERT_NEAR(result.q[i], expected.q[i], float_error) << isa;
      for (size_t i = 0; i < result.k.size(); ++i) {
        ASSERT_NEAR(result.k[i], expected.k[i], float_error + 2 * storing * std::abs(expected.k[i])) << isa;
      }
      EXPECT_TRUE(same_bits(result.v, expected.v)) << isa;
    }
  }
}

}  // namespace
}  // namespace ferrum
