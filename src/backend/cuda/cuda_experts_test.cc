// Routing and experts of backend "cuda" against the reference; experts bit for bit against their own Linears; and the
// same bits for a token in every company. u = 2^-24 is the relative error of one float rounding.
#include <cmath>

#include "backend/cuda/cuda_test_support.h"
#include "backend/experts_for_test.h"
#include "moe/bucket_plan.h"
#include "moe/random_router_for_test.h"
#include "moe/router.h"

namespace ferrum {
namespace {

using testing_support::cuda_backends;
using testing_support::gamma;
using testing_support::linear_tolerance;
using testing_support::make_reference;
using testing_support::Matrix;
using testing_support::OnDevice;
using testing_support::Random;
using testing_support::random_floats;
using testing_support::random_quantized;
using testing_support::random_stored;
using testing_support::RandomExperts;
using testing_support::RandomRouting;
using testing_support::same_bits;
using testing_support::Stored;

// What Ops::route() is given, and what it writes.
struct Routed {
  std::vector<int32_t> ids;
  std::vector<float> weights, shared;
  std::vector<int64_t> load;
};

struct Task {
  RouterSpec spec;
  Matrix logits;            // [T, experts (+ 1)]
  std::vector<float> bias;  // or empty
  bool shared = false;
};

View ints_of(const ConstView& v, int64_t rows, int64_t cols) {
  return View(const_cast<void*>(v.data), DType::kI32, {rows, cols});
}

Routed route(Backend& backend, const Task& task) {
  OnDevice memory(backend);
  const int64_t tokens = task.logits.rows_, top_k = task.spec.top_k;
  const auto count = static_cast<size_t>(tokens * top_k), experts = static_cast<size_t>(task.spec.num_experts);
  RouteArgs args;
  args.spec = task.spec;
  args.logits = memory.matrix(task.logits);
  if (!task.bias.empty()) args.bias = memory.vector(task.bias);
  args.out.ids = ints_of(memory.vector(std::vector<int32_t>(count, -1)), tokens, top_k);
  args.out.weights = memory.matrix(Matrix(tokens, top_k));
  if (task.shared) {
    const ConstView shared = memory.vector(std::vector<float>(static_cast<size_t>(tokens)));
    args.out.shared = View(const_cast<void*>(shared.data), DType::kF32, {tokens});
  }
  // 100 in each, as 64 bits: counts are added.
  std::vector<int32_t> before;
  for (size_t e = 0; e <= experts; ++e) before.insert(before.end(), {100, 0});
  args.load = View(const_cast<void*>(memory.vector(before).data), DType::kI64, {task.spec.num_experts + 1});
  backend.ops().route(args);
  Routed out{memory.fetch_as<int32_t>(args.out.ids),
             memory.fetch_as<float>(args.out.weights),
             {},
             memory.fetch_as<int64_t>(args.load)};
  if (task.shared) out.shared = memory.fetch_as<float>(args.out.shared);
  return out;
}

// Both compute weights in double, which is off by some 2^-50, and round once: they are equal or neighbours.
void expect_near(const std::vector<float>& got, const std::vector<float>& wanted, const std::string& what) {
  ASSERT_EQ(got.size(), wanted.size()) << what;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isnan(wanted[i])) {
      ASSERT_TRUE(std::isnan(got[i])) << what << ", element " << i;
    } else {
      ASSERT_NEAR(got[i], wanted[i], 2 * 0x1p-24 * std::abs(wanted[i])) << what << ", element " << i;
    }
  }
}

void expect_the_reference(const Task& task, const std::string& what) {
  ASSERT_TRUE(validate_router(task.spec).is_ok()) << what;
  const Routed wanted = route(*make_reference(), task);
  for (const auto& backend : cuda_backends()) {
    const Routed got = route(*backend, task);
    ASSERT_EQ(got.ids, wanted.ids) << what << ", " << backend->describe();
    ASSERT_EQ(got.load, wanted.load) << what << ", " << backend->describe();
    expect_near(got.weights, wanted.weights, what);
    expect_near(got.shared, wanted.shared, what);
  }
}

Task random_task(Random& random, int trial) {
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  const int group_size = 1 + pick(12), groups = pick(2) == 0 ? 1 : 1 + pick(7);
  const RouterSpec s = testing_support::random_router(pick, groups, group_size);
  const bool shared = pick(2) == 0;
  Task task{s, Matrix::random(random, 1 + pick(6), s.num_experts + (shared ? 1 : 0), pick(3), 2.0f), {}, shared};
  // Every second trial: few values, hence ties of experts and of groups.
  const bool ties = trial % 2 == 1;
  for (float& l : task.logits.data) l = ties ? std::round(l) : l;
  if (pick(2) == 0) task.bias = random_floats(random, s.num_experts, 0.3f);
  for (float& b : task.bias) b = ties ? std::round(4 * b) / 4 : b;
  return task;
}

TEST(CudaRoute, ChoosesWhatTheReferenceDoesForRandomSpecsAndTies) {
  Random random(41);
  for (int trial = 0; trial < 300; ++trial) {
    expect_the_reference(random_task(random, trial), "trial " + std::to_string(trial));
  }
}

TEST(CudaRoute, TakesTheSizesOfRealRoutersAndTheLargest) {
  Random random(42);
  RouterSpec qwen;
  qwen.num_experts = 128;
  qwen.top_k = 8;
  qwen.normalize = true;
  expect_the_reference({qwen, Matrix::random(random, 9, 128), {}, false}, "softmax, 8 of 128");
  RouterSpec grouped;
  grouped.num_experts = 256;
  grouped.top_k = 8;
  grouped.score = RouterScore::kSigmoid;
  grouped.normalize = true;
  grouped.scale = 2.5f;
  grouped.groups = 8;
  grouped.top_groups = 4;
  grouped.group_experts = 2;
  expect_the_reference({grouped, Matrix::random(random, 5, 256), random_floats(random, 256, 0.1f), false}, "grouped");
  RouterSpec most;
  most.num_experts = most.groups = most.top_groups = kMaxExperts;
  most.top_k = 40;  // more than there are lanes
  expect_the_reference({most, Matrix::random(random, 2, kMaxExperts), {}, false}, "a group per expert");
}

TEST(CudaRoute, AllEqualAndAllButOneImpossible) {
  for (const RouterScore score : {RouterScore::kSoftmax, RouterScore::kSigmoid}) {
    RouterSpec s;
    s.num_experts = 40;
    s.top_k = 5;
    s.score = score;
    Task task{s, Matrix(2, 40), {}, false};
    for (int64_t e = 0; e < 40; ++e) task.logits.row(1)[e] = e == 33 ? 0.5f : -INFINITY;
    expect_the_reference(task, "few values");
  }
}

// Tokens whose logits are no numbers: their weights are NaN, they are counted, and no other token changes.
TEST(CudaRoute, NotANumberStaysWithItsToken) {
  Random random(43);
  for (const bool with_bias : {false, true}) {
    RouterSpec s;
    s.num_experts = 37;
    s.top_k = 3;
    Task task{s, Matrix::random(random, 6, 38), {}, true};
    if (with_bias) task.bias = random_floats(random, 37);
    task.logits.row(1)[36] = NAN;
    task.logits.row(2)[0] = INFINITY;
    for (int64_t e = 0; e < 37; ++e) task.logits.row(3)[e] = -INFINITY;
    task.logits.row(4)[37] = NAN;  // the shared expert's
    expect_the_reference(task, "logits");
    task.bias.assign(37, 0.0f);
    task.bias[35] = NAN;
    expect_the_reference(task, "bias");
  }
}

// The plan against that of moe/bucket_plan.h, and its tiles: every row once, in tiles of its expert.
TEST(CudaExpertPlan, IsTheBucketPlan) {
  Random random(44);
  const auto pick = [&](int n) { return 1 + static_cast<int>(random() % static_cast<uint32_t>(n)); };
  cuda::Queue queue(cuda::make_emulated_device(), cuda::emulated::kernels());
  for (int trial = 0; trial < 60; ++trial) {
    const int experts = pick(trial % 3 == 0 ? 70 : 6), top_k = pick(experts), used = std::max(top_k, pick(experts));
    const int64_t tokens = trial % 4 == 0 ? 1 : pick(90), pairs = tokens * top_k;
    RandomRouting routing(random, tokens, used, top_k);
    std::vector<int32_t> counts(static_cast<size_t>(experts)), token_of_row(static_cast<size_t>(pairs)),
        row_of_pair(token_of_row.size());
    int32_t num_tiles = -1;
    const int tile_rows = trial % 2 == 0 ? 8 : 32;
    std::vector<cuda::ExpertTile> tiles(static_cast<size_t>(cuda::most_tiles(pairs, experts, tile_rows)));
    const cuda::ExpertPlanArgs args{routing.ids.data(),
                                    pairs,
                                    experts,
                                    top_k,
                                    tile_rows,
                                    {counts.data(), token_of_row.data(), row_of_pair.data(), tiles.data(), &num_tiles}};
    queue.launch(queue.kernels().experts.count, cuda::plan_shape(args), args);
    queue.launch(queue.kernels().experts.place, cuda::plan_shape(args), args);
    const Status status = queue.take_status();
    ASSERT_TRUE(status.is_ok()) << status.message();

    BucketPlan plan;
    plan.reserve(experts, pairs);
    plan.rebuild(routing.ids, routing.weights, experts, top_k);
    const auto same = [](const std::vector<int32_t>& a, std::span<const int32_t> b) {
      return std::equal(a.begin(), a.end(), b.begin(), b.end());
    };
    EXPECT_TRUE(same(token_of_row, plan.packed_token_idx())) << "trial " << trial;
    for (int64_t row = 0; row < pairs; ++row) {
      const int32_t pair = plan.packed_pairs()[static_cast<size_t>(row)];
      ASSERT_EQ(row_of_pair[static_cast<size_t>(pair)], row) << "trial " << trial;
    }
    ASSERT_LE(num_tiles, static_cast<int32_t>(tiles.size()));
    int32_t row = 0;
    for (int32_t i = 0; i < num_tiles; ++i) {
      const cuda::ExpertTile& tile = tiles[static_cast<size_t>(i)];
      const auto e = static_cast<size_t>(tile.expert);
      ASSERT_EQ(tile.first, row) << "trial " << trial;
      ASSERT_GT(tile.end, tile.first);
      ASSERT_LE(tile.end - tile.first, tile_rows);
      ASSERT_GE(tile.first, plan.expert_offsets()[e]);
      ASSERT_LE(tile.end, plan.expert_offsets()[e + 1]);
      const bool is_last = tile.end == plan.expert_offsets()[e + 1];
      ASSERT_TRUE(is_last || tile.end - tile.first == tile_rows) << "not full";
      row = tile.end;
    }
    EXPECT_EQ(row, pairs);
  }
}

std::vector<float> run(Backend& backend, const Experts& experts, const Matrix& x, const RandomRouting& r,
                       int64_t gap = 0) {
  OnDevice memory(backend);
  Routing routing;
  routing.ids = ints_of(memory.vector(r.ids), r.tokens_, r.top_k_);
  const ConstView weights = memory.vector(r.weights);
  routing.weights = View(const_cast<void*>(weights.data), DType::kF32, {r.tokens_, r.top_k_});
  Matrix y(x.rows_, x.cols_, gap);
  std::fill(y.data.begin(), y.data.end(), -7.0f);
  const View result = memory.matrix(y);
  experts.forward(backend.ops(), memory.matrix(x), routing, result);
  return memory.fetch(result);
}

std::vector<float> multiply(Backend& backend, const std::vector<WeightRef>& parts, const std::vector<float>& x) {
  const auto linear = backend.make_linear({parts}).value();
  OnDevice memory(backend);
  Matrix row(1, linear->in_features());
  row.data = x;
  const View y = memory.matrix(Matrix(1, linear->out_features()));
  linear->forward(backend.ops(), memory.matrix(row), y);
  return memory.fetch(y);
}

std::vector<float> silu_mul(Backend& backend, const std::vector<float>& gate_up) {
  OnDevice memory(backend);
  Matrix in(1, static_cast<int64_t>(gate_up.size()));
  in.data = gate_up;
  const View y = memory.matrix(Matrix(1, in.cols_ / 2));
  backend.ops().silu_mul(memory.matrix(in), y);
  return memory.fetch(y);
}

// Pair by pair with Linears of the same backend, added in ascending order of experts.
std::vector<float> naive(Backend& backend, const ExpertsSpec& spec, Matrix x, const RandomRouting& r) {
  std::vector<float> y(static_cast<size_t>(x.rows_ * x.cols_), 0.0f);
  for (size_t e = 0; e < spec.experts.size(); ++e) {
    for (size_t pair = 0; pair < r.ids.size(); ++pair) {
      if (r.ids[pair] != static_cast<int32_t>(e)) continue;
      const int64_t t = static_cast<int64_t>(pair) / r.top_k_;
      const std::vector<float> token(x.row(t), x.row(t) + x.cols_);
      const std::vector<float> gate_up = multiply(backend, {spec.experts[e].gate, spec.experts[e].up}, token);
      const std::vector<float> result = multiply(backend, {spec.experts[e].down}, silu_mul(backend, gate_up));
      for (int64_t i = 0; i < x.cols_; ++i) {
        float& sum = y[static_cast<size_t>(t * x.cols_ + i)];
        sum = std::fma(r.weights[pair], result[static_cast<size_t>(i)], sum);
      }
    }
  }
  return y;
}

TEST(CudaExperts, AreTheirLinearsPairByPairForEveryType) {
  Random random(45);
  for (const DTypeInfo& type : all_dtypes()) {
    const int64_t width = type.block_elements == 1 ? 40 : type.block_elements;
    const RandomExperts experts(random, 3, width, width, {type.dtype, type.dtype, type.dtype});
    for (const int64_t tokens : {1, 5}) {
      const Matrix x = Matrix::random(random, tokens, width, 0, 0.05f);
      const RandomRouting routing(random, tokens, 3, 2);
      for (const auto& backend : cuda_backends()) {
        const auto made = backend->make_experts(experts.spec(2));
        ASSERT_TRUE(made.is_ok()) << made.status().message();
        EXPECT_TRUE(same_bits(run(*backend, **made, x, routing), naive(*backend, experts.spec(2), x, routing)))
            << type.name << ", " << tokens << " tokens, " << backend->describe();
      }
    }
  }
}

// Types that differ between roles and experts, biases, rows with gaps, experts without tokens, one that has all.
TEST(CudaExperts, MayDifferInTypesAndHaveBiases) {
  Random random(46);
  RandomExperts experts(random, 6, 256, 256, {DType::kQ4_K, DType::kQ8_0, DType::kQ6_K});
  experts.gate[1] = random_stored(random, DType::kF16, 256, 256);
  experts.gate[4] = random_stored(random, DType::kQ6_K, 256, 256);
  experts.up[4] = random_stored(random, DType::kF32, 256, 256);
  experts.down[2] = random_stored(random, DType::kBF16, 256, 256);
  const std::vector<float> bias = random_floats(random, 256);
  ExpertsSpec spec = experts.spec(2);
  spec.experts[3].gate.bias = spec.experts[1].up.bias = spec.experts[4].down.bias = testing_support::floats(bias);
  for (const int used : {2, 6}) {
    Matrix x = Matrix::random(random, 7, 256, 5, 0.05f);
    const RandomRouting routing(random, 7, used, 2);
    for (const auto& backend : cuda_backends()) {
      const auto made = backend->make_experts(spec).value();
      EXPECT_EQ(made->num_experts(), 6);
      const std::vector<float> wanted = naive(*backend, spec, x, routing);
      const std::vector<float> got = run(*backend, *made, x, routing, 3);
      for (int64_t t = 0; t < 7; ++t) {
        const auto row = got.begin() + t * 259;
        EXPECT_TRUE(same_bits({row, row + 256}, {wanted.begin() + t * 256, wanted.begin() + (t + 1) * 256}))
            << "token " << t << ", " << used << " experts, " << backend->describe();
      }
    }
  }
}

// A number as the reference has it, and how far backend cuda may be from it.
struct Bounded {
  std::vector<float> values;
  std::vector<double> errors;
};

// One pair. Of a Linear whose input is off by e, the result is off by sum |w| e more than test_support.h says; its
// quantised input may be as large as |x| + e. |silu'| < 1.1, so silu(g) u moves by 1.1 dg (|u| + du) + |silu(g)| du,
// and by 8 roundings of its own (cuda_rows_test.cc).
Bounded through_linear(const Stored& w, const Bounded& x) {
  Bounded y;
  std::vector<float> most(x.values.size());
  for (size_t i = 0; i < most.size(); ++i) {
    most[i] = static_cast<float>((std::abs(x.values[i]) + x.errors[i]) * (1 + 0x1p-20));
  }
  for (int64_t r = 0; r < w.rows; ++r) {
    const std::vector<float> weights = w.values(r);
    double sum = 0, error = 0;
    for (size_t i = 0; i < weights.size(); ++i) {
      sum += static_cast<double>(weights[i]) * x.values[i];
      error += std::abs(weights[i]) * x.errors[i];
    }
    y.values.push_back(static_cast<float>(sum));
    y.errors.push_back(error + linear_tolerance(w, r, most.data(), 0, sum));
  }
  return y;
}
Bounded through_silu(const Bounded& gate, const Bounded& up) {
  Bounded y;
  for (size_t i = 0; i < gate.values.size(); ++i) {
    const double g = gate.values[i], u = up.values[i], dg = gate.errors[i], du = up.errors[i];
    const double silu = g / (1 + std::exp(-g)), moved = 1.1 * dg * (std::abs(u) + du) + std::abs(silu) * du;
    y.values.push_back(static_cast<float>(silu * u));
    y.errors.push_back(moved + gamma(8) * (std::abs(silu * u) + moved));
  }
  return y;
}

// k weighted results: one rounding each, and the reference's own.
void expect_the_reference(const RandomExperts& experts, int top_k, Matrix x, const RandomRouting& r) {
  const ExpertsSpec spec = experts.spec(top_k);
  const auto reference = make_reference();
  const std::vector<float> wanted = run(*reference, *reference->make_experts(spec).value(), x, r);
  std::vector<double> bounds(wanted.size(), 0.0), magnitudes(wanted.size(), 0.0);
  for (size_t pair = 0; pair < r.ids.size(); ++pair) {
    const auto e = static_cast<size_t>(r.ids[pair]);
    const int64_t t = static_cast<int64_t>(pair) / top_k;
    const Bounded token{{x.row(t), x.row(t) + x.cols_}, std::vector<double>(static_cast<size_t>(x.cols_), 0.0)};
    const Bounded hidden = through_silu(through_linear(experts.gate[e], token), through_linear(experts.up[e], token));
    const Bounded result = through_linear(experts.down[e], hidden);
    for (size_t i = 0; i < result.values.size(); ++i) {
      const size_t at = static_cast<size_t>(t * x.cols_) + i;
      const double weight = std::abs(r.weights[pair]);
      bounds[at] += weight * result.errors[i];
      magnitudes[at] += weight * (std::abs(result.values[i]) + result.errors[i]);
    }
  }
  for (const auto& backend : cuda_backends()) {
    const std::vector<float> got = run(*backend, *backend->make_experts(spec).value(), x, r);
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_NEAR(got[i], wanted[i], bounds[i] + gamma(top_k + 1) * magnitudes[i])
          << to_string(experts.gate[0].dtype) << ", " << x.rows_ << " tokens, " << top_k << " experts each, "
          << backend->describe() << ", element " << i;
    }
  }
}

TEST(CudaExperts, AreWithinTheirRoundings) {
  Random random(47);
  struct Shape {
    int64_t tokens;
    int experts, used, top_k;
  };
  // None, one, empty experts, all tokens with one expert, all experts for each, and full tiles.
  const Shape shapes[] = {{0, 4, 4, 2}, {1, 8, 8, 3}, {6, 16, 3, 2}, {20, 5, 1, 1}, {4, 3, 3, 3}, {40, 4, 4, 2}};
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0, DType::kQ4_K}) {
    for (const Shape& s : shapes) {
      const int64_t hidden = dtype == DType::kQ4_K ? 256 : 96, ffn = dtype == DType::kQ4_K ? 256 : 64;
      RandomExperts experts(random, s.experts, hidden, ffn, {dtype, dtype, dtype});
      if (info(dtype).quantized) {
        for (auto* role : {&experts.gate, &experts.up, &experts.down}) {
          for (Stored& m : *role) m = random_quantized(random, dtype, m.rows, m.cols);
        }
      }
      expect_the_reference(experts, s.top_k, Matrix::random(random, s.tokens, hidden),
                           RandomRouting(random, s.tokens, s.used, s.top_k));
    }
  }
}

// Alone, among few (small tiles) and among many (large ones).
TEST(CudaExperts, GiveATokenTheSameBitsInEveryCompany) {
  Random random(48);
  for (const DType dtype : {DType::kQ4_K, DType::kF32}) {
    const RandomExperts experts(random, 4, 256, 256, {dtype, dtype, dtype});
    const Matrix x = Matrix::random(random, 40, 256, 0, 0.05f);
    const RandomRouting routing(random, 40, 4, 2);
    for (const auto& backend : cuda_backends()) {
      const auto made = backend->make_experts(experts.spec(2)).value();
      const std::vector<float> together = run(*backend, *made, x, routing);
      for (const auto& [begin, count] : {std::pair<int64_t, int64_t>{0, 1}, {39, 1}, {5, 9}}) {
        Matrix some(count, 256);
        std::copy_n(x.data.begin() + begin * 256, count * 256, some.data.begin());
        RandomRouting part = routing;
        part.tokens_ = count;
        part.ids.assign(routing.ids.begin() + 2 * begin, routing.ids.begin() + 2 * (begin + count));
        part.weights.assign(routing.weights.begin() + 2 * begin, routing.weights.begin() + 2 * (begin + count));
        const auto first = together.begin() + begin * 256;
        EXPECT_TRUE(same_bits(run(*backend, *made, some, part), {first, first + count * 256}))
            << to_string(dtype) << ", " << count << " tokens from " << begin << ", " << backend->describe();
      }
    }
  }
}

TEST(CudaExperts, NotANumberShowsInItsTokenOnly) {
  Random random(49);
  const RandomExperts experts(random, 3, 256, 256, {DType::kQ4_K, DType::kF16, DType::kQ8_0});
  Matrix x = Matrix::random(random, 3, 256, 0, 0.05f);
  RandomRouting routing(random, 3, 3, 2);
  x.row(1)[77] = NAN;
  routing.weights[4] = NAN;
  for (const auto& backend : cuda_backends()) {
    const std::vector<float> y = run(*backend, *backend->make_experts(experts.spec(2)).value(), x, routing);
    for (size_t i = 0; i < 256; ++i) {
      ASSERT_TRUE(std::isfinite(y[i]));
      ASSERT_TRUE(std::isnan(y[256 + i]) && std::isnan(y[512 + i]));
    }
  }
}

TEST(CudaExperts, AnExpertCacheIsRefused) {
  Random random(50);
  const RandomExperts experts(random, 3, 32, 32, {DType::kF32, DType::kF32, DType::kF32});
  const auto made =
      testing_support::make_emulated_cuda({.max_tokens = 8, .resident_experts = 2})->make_experts(experts.spec(1));
  ASSERT_FALSE(made.is_ok());
  EXPECT_EQ(made.status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace ferrum
