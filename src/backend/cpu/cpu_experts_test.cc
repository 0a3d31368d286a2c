// Experts against the same network made of Linears, bit for bit, for every weight type, level and number of threads;
// and against the reference backend.
#include "backend/cpu/cpu_experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "backend/experts_for_test.h"

namespace ferrum {
namespace {

using namespace testing_support;

constexpr int kMaxTokens = 320;

std::unique_ptr<Backend> cpu(const std::string& isa, int threads = 2, int threshold = 4, int places = 0) {
  return make_backend(
             {.name = "cpu",
              .isa = isa,
              .threads = threads,
              .limits = {.max_tokens = kMaxTokens, .expert_batch_threshold = threshold, .resident_experts = places}})
      .value();
}

std::vector<float> run(Backend& backend, const ExpertsSpec& spec, Matrix& x, const Routing& routing) {
  const auto experts = backend.make_experts(spec).value();
  Matrix y(x.rows_, x.cols_);
  std::fill(y.data.begin(), y.data.end(), -7.0f);
  experts->forward(backend.ops(), x.view(), routing, y.view());
  return y.data;
}

// Pair by pair with Linears of the same backend, added in ascending order of experts.
std::vector<float> naive(Backend& backend, const ExpertsSpec& spec, Matrix& x, const Routing& routing) {
  const int64_t ffn = spec.experts[0].gate.matrix.dim(0);
  Matrix y(x.rows_, x.cols_), gate_up(1, 2 * ffn), hidden(1, ffn), result(1, x.cols_);
  for (size_t e = 0; e < spec.experts.size(); ++e) {
    const auto wide = backend.make_linear({{spec.experts[e].gate, spec.experts[e].up}}).value();
    const auto narrow = backend.make_linear({{spec.experts[e].down}}).value();
    for (int64_t pair = 0; pair < routing.ids.elements(); ++pair) {
      if (routing.ids.as<int32_t>()[pair] != static_cast<int32_t>(e)) continue;
      const int64_t t = pair / spec.top_k;
      wide->forward(backend.ops(), ConstView(x.row(t), DType::kF32, {1, x.cols_}), gate_up.view());
      backend.ops().silu_mul(gate_up.view(), hidden.view());
      narrow->forward(backend.ops(), hidden.view(), result.view());
      const float weight = routing.weights.as<float>()[pair];
      for (int64_t i = 0; i < x.cols_; ++i) y.row(t)[i] += weight * result.row(0)[i];
    }
  }
  return y.data;
}

class ExpertsOfType : public ::testing::TestWithParam<DType> {};

// Few tokens (taken where they are) and many (gathered), on every level, one thread and three.
TEST_P(ExpertsOfType, AreTheirLinearsPairByPair) {
  Random random(21);
  const RandomExperts experts(random, 4, 256, 256, {GetParam(), GetParam(), GetParam()});
  for (const int64_t tokens : {1, 12}) {
    Matrix x = Matrix::random(random, tokens, 256, 0, 0.05f);
    RandomRouting routing(random, tokens, 4, 2);
    for (const std::string& isa : available_isas()) {
      const auto one = cpu(isa, 1), three = cpu(isa, 3);
      const std::vector<float> wanted = naive(*one, experts.spec(2), x, routing.all());
      EXPECT_TRUE(same_bits(run(*one, experts.spec(2), x, routing.all()), wanted)) << isa << ", " << tokens;
      EXPECT_TRUE(same_bits(run(*three, experts.spec(2), x, routing.all()), wanted)) << isa << ", " << tokens;
    }
  }
}

std::vector<DType> types() {
  std::vector<DType> all;
  for (const DTypeInfo& t : all_dtypes()) all.push_back(t.dtype);
  return all;
}

INSTANTIATE_TEST_SUITE_P(EveryType, ExpertsOfType, ::testing::ValuesIn(types()),
                         [](const auto& type) { return std::string(to_string(type.param)); });

// Float weights differ from the reference by the roundings of sums only: of some hundred terms, three deep.
TEST(CpuExperts, ComputeWhatTheReferenceDoes) {
  Random random(22);
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    RandomExperts experts(random, 5, 96, 40, {dtype, dtype, dtype});
    Matrix x = Matrix::random(random, 30, 96, 0, 0.1f);
    RandomRouting routing(random, 30, 5, 2);
    const std::vector<float> wanted = run(*make_reference(), experts.spec(2), x, routing.all());
    const float largest = std::abs(
        *std::max_element(wanted.begin(), wanted.end(), [](float a, float b) { return std::abs(a) < std::abs(b); }));
    for (const std::string& isa : available_isas()) {
      const std::vector<float> got = run(*cpu(isa), experts.spec(2), x, routing.all());
      for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], wanted[i], 1e-5f * largest) << isa;
    }
  }
}

// Quantised activations (two times, 8 bits each) move results by about a percent of their size.
TEST(CpuExperts, QuantisedOnesAreCloseToTheReference) {
  Random random(23);
  RandomExperts experts(random, 4, 512, 256, {DType::kQ8_0, DType::kQ8_0, DType::kQ8_0});
  for (auto* role : {&experts.gate, &experts.up, &experts.down}) {
    for (Stored& m : *role) m = random_quantized(random, DType::kQ8_0, m.rows, m.cols);
  }
  Matrix x = Matrix::random(random, 40, 512);
  RandomRouting routing(random, 40, 4, 2);
  const std::vector<float> wanted = run(*make_reference(), experts.spec(2), x, routing.all());
  const std::vector<float> got = run(*cpu("auto"), experts.spec(2), x, routing.all());
  double error = 0, size = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    error += (got[i] - wanted[i]) * (got[i] - wanted[i]);
    size += wanted[i] * wanted[i];
  }
  EXPECT_LT(std::sqrt(error / size), 0.02);
}

// Random shapes: rows that fill no piece, experts without tokens, one that all tokens go to, a batch of one, none.
TEST(CpuExperts, AreTheirLinearsForRandomShapesAndRoutings) {
  Random random(24);
  const auto pick = [&](int n) { return 1 + static_cast<int>(random() % static_cast<uint32_t>(n)); };
  for (int trial = 0; trial < 30; ++trial) {
    const DType plain = trial % 2 == 0 ? DType::kF32 : DType::kQ8_0;
    const int64_t unit = plain == DType::kF32 ? 1 : 32;
    const int count = pick(9), top_k = pick(count),
              used = top_k + static_cast<int>(random() % (static_cast<uint32_t>(count - top_k) + 1));
    const int64_t hidden = unit == 1 ? pick(70) : unit * pick(10), ffn = unit == 1 ? pick(50) : unit * pick(6);
    const int64_t tokens = trial % 5 == 0 ? trial / 5 : pick(60);
    RandomExperts experts(random, count, hidden, ffn, {plain, plain, plain});
    Matrix x = Matrix::random(random, tokens, hidden, 0, 0.05f);
    RandomRouting routing(random, tokens, used, top_k);
    const auto backend = cpu("auto", pick(3), pick(10));
    EXPECT_TRUE(same_bits(run(*backend, experts.spec(top_k), x, routing.all()),
                          naive(*backend, experts.spec(top_k), x, routing.all())))
        << "trial " << trial;
  }
}

// With fewer places in memory than experts, a step is computed in rounds, and its bits are the same; types that differ
// between experts share places.
TEST(CpuExperts, GiveTheSameBitsWhereNotAllHaveAPlace) {
  Random random(31);
  const std::array<DType, 3> kinds[] = {{DType::kQ4_K, DType::kQ4_K, DType::kQ6_K},
                                        {DType::kQ8_0, DType::kQ8_0, DType::kQ8_0},
                                        {DType::kF32, DType::kF16, DType::kBF16},
                                        {DType::kF64, DType::kQ4_K, DType::kF64}};
  for (const auto& types : kinds) {
    RandomExperts experts(random, 12, 256, 256, types);
    if (types[0] == DType::kQ4_K) experts.up[5] = random_stored(random, DType::kBF16, 256, 256);
    for (const std::string& isa : available_isas()) {
      for (const int places : {3, 5, 11}) {
        const auto all = cpu(isa), some = cpu(isa, 3, 4, places);
        const auto resident = all->make_experts(experts.spec(3)).value(),
                   cached = some->make_experts(experts.spec(3)).value();
        std::vector<int64_t> active;
        for (const int64_t tokens : {1, 40, 1, 2, 7, 40, 1}) {
          Matrix x = Matrix::random(random, tokens, 256, 0, 0.05f), wanted(tokens, 256), got(tokens, 256);
          RandomRouting routing(random, tokens, 12, 3);
          active.push_back(static_cast<int64_t>(std::set(routing.ids.begin(), routing.ids.end()).size()));
          resident->forward(all->ops(), x.view(), routing.all(), wanted.view());
          cached->forward(some->ops(), x.view(), routing.all(), got.view());
          EXPECT_TRUE(same_bits(got.data, wanted.data)) << isa << ", " << places << " places, " << tokens << " tokens";
        }
        const ExpertCacheCounts counts = some->expert_cache();
        EXPECT_EQ(counts.hits + counts.misses, std::accumulate(active.begin(), active.end(), int64_t{0}));
        EXPECT_GE(counts.misses, 12);
        EXPECT_GT(counts.hits, 0);
        EXPECT_GT(counts.bytes_read, 0);
        EXPECT_EQ(counts.slots, places);
        EXPECT_EQ(all->expert_cache().slots, 0);
      }
    }
  }
}

TEST(CpuExperts, FewerPlacesThanATokenNeedsAreRefused) {
  Random random(32);
  const RandomExperts experts(random, 6, 64, 32, {DType::kQ8_0, DType::kQ8_0, DType::kQ8_0});
  const auto made = cpu("auto", 1, 4, 2)->make_experts(experts.spec(3));
  ASSERT_EQ(made.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(made.status().message(), "memory for 2 experts of a layer, and a token needs 3");
}

// More tokens of one expert than go through a piece together.
TEST(CpuExperts, OneExpertForAllTokens) {
  Random random(25);
  RandomExperts experts(random, 3, 256, 64, {DType::kQ4_K, DType::kQ4_K, DType::kQ8_0});
  Matrix x = Matrix::random(random, 300, 256, 0, 0.05f);
  RandomRouting routing(random, 300, 1, 1);
  const auto backend = cpu("auto");
  EXPECT_TRUE(
      same_bits(run(*backend, experts.spec(1), x, routing.all()), naive(*backend, experts.spec(1), x, routing.all())));
}

TEST(CpuExperts, MixedTypesAndBiases) {
  Random random(26);
  RandomExperts experts(random, 4, 256, 256, {DType::kQ4_K, DType::kF16, DType::kQ6_K});
  experts.down[1] = random_stored(random, DType::kBF16, 256, 256);
  const std::vector<float> bias = random_floats(random, 256);
  ExpertsSpec spec = experts.spec(2);
  spec.experts[0].gate.bias = spec.experts[2].up.bias = spec.experts[1].down.bias =
      ConstView(bias.data(), DType::kF32, {256});
  for (const int64_t tokens : {2, 20}) {
    Matrix x = Matrix::random(random, tokens, 256, 0, 0.05f);
    RandomRouting routing(random, tokens, 4, 2);
    const auto backend = cpu("auto");
    EXPECT_TRUE(same_bits(run(*backend, spec, x, routing.all()), naive(*backend, spec, x, routing.all()))) << tokens;
  }
}

// A token's result has the same bits alone and among others, gathered or not, whatever the threads and the level.
TEST(CpuExperts, TheBatchTheThresholdAndTheThreadsChangeNoBit) {
  Random random(27);
  RandomExperts experts(random, 6, 256, 256, {DType::kQ4_K, DType::kQ4_K, DType::kQ6_K});
  Matrix x = Matrix::random(random, 24, 256, 0, 0.05f);
  RandomRouting routing(random, 24, 6, 2);
  const std::vector<float> together = run(*cpu("auto"), experts.spec(2), x, routing.all());
  for (const std::string& isa : available_isas()) {
    for (const int threshold : {1, 4, 1000}) {
      for (const int threads : {1, 3}) {
        EXPECT_TRUE(same_bits(together, run(*cpu(isa, threads, threshold), experts.spec(2), x, routing.all())))
            << isa << ", threshold " << threshold << ", " << threads << " threads";
      }
    }
    const auto backend = cpu(isa);
    const auto made = backend->make_experts(experts.spec(2)).value();
    for (int64_t t = 0; t < 24; ++t) {
      Matrix one(1, 256), alone(1, 256);
      std::copy(x.row(t), x.row(t) + 256, one.row(0));
      made->forward(backend->ops(), one.view(), routing.from(t, 1), alone.view());
      EXPECT_TRUE(same_bits(alone.data, {together.begin() + t * 256, together.begin() + (t + 1) * 256})) << isa << t;
    }
  }
}

TEST(CpuExperts, ReadAndWriteRowsThatLieApart) {
  Random random(28);
  RandomExperts experts(random, 3, 64, 32, {DType::kQ8_0, DType::kF32, DType::kQ8_0});
  for (const int64_t tokens : {2, 9}) {
    Matrix x = Matrix::random(random, tokens, 64, 5), dense(tokens, 64), y(tokens, 64, 3);
    for (int64_t t = 0; t < tokens; ++t) std::copy(x.row(t), x.row(t) + 64, dense.row(t));
    std::fill(y.data.begin(), y.data.end(), -7.0f);
    RandomRouting routing(random, tokens, 3, 2);
    const auto backend = cpu("auto");
    backend->make_experts(experts.spec(2)).value()->forward(backend->ops(), x.view(), routing.all(), y.view());
    const std::vector<float> wanted = run(*backend, experts.spec(2), dense, routing.all());
    for (int64_t t = 0; t < tokens; ++t) {
      EXPECT_TRUE(std::equal(y.row(t), y.row(t) + 64, wanted.begin() + t * 64));
      for (int64_t i = 64; i < 67; ++i) EXPECT_EQ(y.row(t)[i], -7.0f);
    }
  }
}

TEST(CpuExperts, ANaNStaysWithItsToken) {
  Random random(29);
  RandomExperts experts(random, 3, 64, 32, {DType::kQ8_0, DType::kQ8_0, DType::kQ8_0});
  Matrix x = Matrix::random(random, 6, 64, 0, 0.05f);
  RandomRouting routing(random, 6, 3, 2);
  routing.weights[4] = NAN;  // token 2
  x.row(4)[7] = NAN;
  const std::vector<float> y = run(*cpu("auto"), experts.spec(2), x, routing.all());
  for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(std::isnan(y[i]), i / 64 == 2 || i / 64 == 4) << i;
}

TEST(CpuExperts, WrongShapesAreErrorsThatNameTheTensor) {
  Random random(30);
  const RandomExperts good(random, 3, 64, 32, {DType::kF32, DType::kF32, DType::kF32});
  const Stored odd = random_stored(random, DType::kF32, 31, 64), empty{DType::kF32, 0, 0, {}};
  for (const auto& backend : {make_reference(), cpu("auto")}) {
    const auto message = [&](auto change) {
      ExpertsSpec spec = good.spec(2);
      change(spec);
      const auto made = backend->make_experts(spec);
      EXPECT_FALSE(made.is_ok());
      return made.status().message();
    };
    const auto has = [](const std::string& text, const char* word) { return text.find(word) != std::string::npos; };
    EXPECT_TRUE(has(message([&](ExpertsSpec& s) { s.experts[1].up.matrix = odd.view(); }), "'up' is [31, 64]"));
    EXPECT_TRUE(has(message([&](ExpertsSpec& s) { s.experts[2].down.matrix = odd.view(); }), "'down' is [31, 64]"));
    EXPECT_TRUE(has(message([&](ExpertsSpec& s) { s.experts[0].gate.matrix = empty.view(); }), "'gate'"));
    EXPECT_TRUE(has(message([&](ExpertsSpec& s) { s.experts.clear(); }), "0 experts"));
    EXPECT_TRUE(has(message([&](ExpertsSpec& s) { s.top_k = 4; }), "4 experts per token of 3"));
  }
}

}  // namespace
}  // namespace ferrum
