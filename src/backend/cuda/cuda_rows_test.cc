// The kernels of kernels/rows.cuh against the reference. u = 2^-24 is the relative error of one float rounding.
#include <cmath>

#include "backend/cuda/cuda_test_support.h"

namespace ferrum {
namespace {

using testing_support::cuda_backends;
using testing_support::floats;
using testing_support::gamma;
using testing_support::ints;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::OnDevice;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::random_stored;
using testing_support::same_bits;
using testing_support::Stored;

constexpr int64_t kTokenCounts[] = {0, 1, 2, 7};

void expect_near(const std::vector<float>& results, const std::vector<float>& expected, double relative,
                 const std::string& what, double absolute = 0) {
  ASSERT_EQ(results.size(), expected.size()) << what;
  for (size_t i = 0; i < results.size(); ++i) {
    ASSERT_NEAR(results[i], expected[i], relative * std::abs(expected[i]) + absolute) << what << ", element " << i;
  }
}

// tools/gpu_check insists that this one is not skipped.
TEST(CudaDevice, TakesPartInTheTestsOfThisProgram) {
  const auto opened = cuda::open_cuda_device();
  if (!opened.is_ok()) GTEST_SKIP() << "the emulator alone: " << opened.status().message();
}

TEST(CudaEmbed, GivesTheDequantisedRowsOfEveryTypeBitForBit) {
  Random random(1);
  for (const DTypeInfo& type : all_dtypes()) {
    const int64_t hidden = type.block_elements == 1 ? 77 : 2 * type.block_elements;
    const Stored table = random_stored(random, type.dtype, 5, hidden);
    const std::vector<int32_t> ids = {4, 0, 3};
    Matrix expected(3, hidden, 3);
    make_reference()->ops().embed(table.view(), ints(ids), expected.view());
    for (const auto& backend : cuda_backends()) {
      OnDevice device(*backend);
      const View y = device.matrix(Matrix(3, hidden, 3));
      backend->ops().embed(device.stored(table), device.vector(ids), y);
      EXPECT_TRUE(same_bits(device.fetch(y), expected.data)) << type.name << ", " << backend->describe();
    }
  }
}

// Each of 256 threads sums n / 256 squares by fused operations (that many roundings), then 5 additions across the warp
// and 8 across the warps: the mean's relative error is gamma of all these plus 1 for the division, half of which passes
// to the factor, with one rounding each for + eps, the root and the division; x * factor and * weight: 2 more; the
// reference's own: 1.
TEST(CudaRmsNorm, IsWithinItsRoundings) {
  Random random(2);
  for (int64_t n : {1, 64, 100, 2049}) {
    const double bound = gamma((std::ceil(static_cast<double>(n) / 256) + 5 + 8 + 1) / 2 + 3 + 2 + 1);
    for (int64_t tokens : kTokenCounts) {
      Matrix x = Matrix::random(random, tokens, n, 2, 5.0f), delta = Matrix::random(random, tokens, n), y(tokens, n);
      const std::vector<float> weight = random_floats(random, n);
      make_reference()->ops().rms_norm(x.view(), floats(weight), 1e-5f, y.view());
      Matrix sum = x, normed(tokens, n);
      make_reference()->ops().add_rms_norm(sum.view(), delta.view(), floats(weight), 1e-6f, normed.view());
      for (const auto& backend : cuda_backends()) {
        OnDevice device(*backend);
        const View result = device.matrix(Matrix(tokens, n));
        backend->ops().rms_norm(device.matrix(x), device.vector(weight), 1e-5f, result);
        expect_near(device.fetch(result), y.data, bound, backend->describe());
        const View in_place = device.matrix(x);
        backend->ops().rms_norm(in_place, device.vector(weight), 1e-5f, in_place);
        std::vector<float> rows = device.fetch(in_place);
        for (int64_t t = 0; t < tokens; ++t) {
          for (int64_t i = 0; i < n; ++i) {
            ASSERT_NEAR(rows[static_cast<size_t>(t * (n + 2) + i)], y.row(t)[i], bound * std::abs(y.row(t)[i]));
          }
        }
        const View residual = device.matrix(x);
        backend->ops().add_rms_norm(residual, device.matrix(delta), device.vector(weight), 1e-6f, result);
        expect_near(device.fetch(result), normed.data, bound, backend->describe());
        EXPECT_TRUE(same_bits(device.fetch(residual), sum.data)) << backend->describe();
      }
    }
  }
}

TEST(CudaAdd, IsExactAndScaledByOneFusedOperation) {
  Random random(3);
  for (int64_t n : {1, 300}) {
    for (int64_t tokens : kTokenCounts) {
      Matrix x = Matrix::random(random, tokens, n, 4), delta = Matrix::random(random, tokens, n, 1);
      const std::vector<float> scale = random_floats(random, tokens);
      Matrix sum = x, scaled = x;
      make_reference()->ops().add(sum.view(), delta.view());
      make_reference()->ops().add_scaled(scaled.view(), delta.view(), floats(scale));
      for (const auto& backend : cuda_backends()) {
        OnDevice device(*backend);
        const View y = device.matrix(x), z = device.matrix(x);
        backend->ops().add(y, device.matrix(delta));
        EXPECT_TRUE(same_bits(device.fetch(y), sum.data)) << backend->describe();
        backend->ops().add_scaled(z, device.matrix(delta), device.vector(scale));
        // The reference adds in double and rounds, which may round twice: 1 u of the sum.
        expect_near(device.fetch(z), scaled.data, gamma(1), backend->describe());
      }
    }
  }
}

// The angle is the same float; cos and sin of it in double are within 2^-50 on either side, then rounded once.
TEST(CudaRopeCosSin, IsWithinOneRounding) {
  const std::vector<int32_t> positions = {0, 1, 2, 77, 4095, 131071, 1 << 30};
  const std::vector<float> inv_freq = {1.0f, 0.5f, 0.1f, 1e-3f, 1e-6f};
  Matrix expected(7, 10);
  make_reference()->ops().rope_cos_sin(ints(positions), floats(inv_freq), 1.25f, expected.view());
  for (const auto& backend : cuda_backends()) {
    OnDevice device(*backend);
    const View y = device.matrix(Matrix(7, 10));
    backend->ops().rope_cos_sin(device.vector(positions), device.vector(inv_freq), 1.25f, y);
    expect_near(device.fetch(y), expected.data, gamma(2), backend->describe());
  }
}

// As for backend "cpu" (ops_test.cc): exp within 4 u, then one rounding each for 1 + e, the division and the product;
// one of the reference. Where exp(-x) overflows the result is 0 instead of something below 89 * 2^-127.
TEST(CudaSiluMul, IsWithinEightRoundings) {
  Random random(4);
  for (int64_t n : {1, 33, 300}) {
    for (int64_t tokens : kTokenCounts) {
      Matrix gate_up = Matrix::random(random, tokens, 2 * n, 0, 20.0f), expected(tokens, n);
      if (tokens > 1) gate_up.row(1)[0] = -1000.0f;
      if (tokens > 2) gate_up.row(2)[0] = 1000.0f;
      make_reference()->ops().silu_mul(gate_up.view(), expected.view());
      for (const auto& backend : cuda_backends()) {
        OnDevice device(*backend);
        const View y = device.matrix(Matrix(tokens, n));
        backend->ops().silu_mul(device.matrix(gate_up), y);
        expect_near(device.fetch(y), expected.data, gamma(8), backend->describe(), 1000 * 0x1p-119);
      }
    }
  }
}

TEST(CudaSiluMul, NotANumberShows) {
  Matrix gate_up(1, 2);
  gate_up.row(0)[0] = NAN;
  for (const auto& backend : cuda_backends()) {
    OnDevice device(*backend);
    const View y = device.matrix(Matrix(1, 1));
    backend->ops().silu_mul(device.matrix(gate_up), y);
    EXPECT_TRUE(std::isnan(device.fetch(y)[0]));
  }
}

TEST(CudaGatherRows, CopiesTheRows) {
  Random random(5);
  Matrix x = Matrix::random(random, 6, 300, 3), expected(4, 300);
  const std::vector<int32_t> rows = {5, 0, 0, 3};
  make_reference()->ops().gather_rows(x.view(), ints(rows), expected.view());
  for (const auto& backend : cuda_backends()) {
    OnDevice device(*backend);
    const View y = device.matrix(Matrix(4, 300));
    backend->ops().gather_rows(device.matrix(x), device.vector(rows), y);
    EXPECT_TRUE(same_bits(device.fetch(y), expected.data)) << backend->describe();
  }
}

TEST(CudaBackend, UploadsTheArraysOfAStepAndReportsWhatFailed) {
  Batch batch;
  batch.rows.push_back({.seq = 1, .q_begin = 0, .q_len = 2, .kv_len = 2, .logit_begin = 0, .logit_count = 1});
  batch.tokens = {7, 9};
  batch.positions = {0, 1};
  batch.slots = {16, 17};
  batch.token_rows = {0, 0};
  batch.cu_q = {0, 2};
  batch.kv_lens = {2};
  batch.block_tables = {1};
  batch.max_blocks = 1;
  batch.logit_rows = {1};
  for (const auto& backend : cuda_backends()) {
    OnDevice device(*backend);
    for (int step = 0; step < 2; ++step) {
      const DeviceBatch on_device = backend->upload(batch).value();
      EXPECT_EQ(device.fetch_as<int32_t>(on_device.tokens), batch.tokens);
      EXPECT_EQ(device.fetch_as<int32_t>(on_device.slots), batch.slots);
      EXPECT_EQ(device.fetch_as<int32_t>(on_device.block_tables), batch.block_tables);
      EXPECT_EQ(device.fetch_as<int32_t>(on_device.logit_rows), batch.logit_rows);
      EXPECT_EQ(on_device.embeddings.rank, 0);
    }
  }
}

}  // namespace
}  // namespace ferrum
