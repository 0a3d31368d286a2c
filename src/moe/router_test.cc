// The router against the naive definition (sort all experts), and its special cases. vLLM's numbers:
// backend/goldens_test.cc.
#include "moe/router.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "moe/random_router_for_test.h"

namespace ferrum {
namespace {

struct Routed {
  bool ok = false;
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routed route(const RouterSpec& spec, const std::vector<float>& logits, const std::vector<float>& bias = {}) {
  const Status valid = validate_router(spec);
  EXPECT_TRUE(valid.is_ok()) << valid.message();
  Routed out;
  out.ids.assign(static_cast<size_t>(spec.top_k), -1);
  out.weights.assign(static_cast<size_t>(spec.top_k), -1.0f);
  out.ok = route_token(spec, logits, bias, {out.ids, out.weights});
  return out;
}

RouterSpec spec_of(int experts, int top_k, bool normalize = true) {
  RouterSpec spec;
  spec.num_experts = experts;
  spec.top_k = top_k;
  spec.normalize = normalize;
  return spec;
}

// As the papers write it, with whole arrays in double and a stable sort.
struct Naive {
  std::vector<int32_t> ids;
  std::vector<double> weights;
};
Naive naive(const RouterSpec& s, const std::vector<float>& logits, const std::vector<float>& bias) {
  const auto experts = static_cast<size_t>(s.num_experts);
  std::vector<double> scores(experts), ranked(experts);
  double sum = 0;
  for (size_t e = 0; e < experts; ++e) {
    const double l = logits[e];
    scores[e] = s.score == RouterScore::kSoftmax ? std::exp(l) : 1 / (1 + std::exp(-l));
    sum += scores[e];
  }
  for (size_t e = 0; e < experts; ++e) {
    if (s.score == RouterScore::kSoftmax) scores[e] /= sum;
    ranked[e] = scores[e] + (bias.empty() ? 0.0 : static_cast<double>(bias[e]));
  }
  const size_t size = experts / static_cast<size_t>(s.groups);
  std::vector<size_t> groups(static_cast<size_t>(s.groups));
  std::vector<double> values(groups.size());
  std::iota(groups.begin(), groups.end(), 0);
  for (const size_t g : groups) {
    std::vector<double> members(ranked.begin() + static_cast<std::ptrdiff_t>(g * size),
                                ranked.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::sort(members.rbegin(), members.rend());
    values[g] = std::accumulate(members.begin(), members.begin() + s.group_experts, 0.0);
  }
  std::stable_sort(groups.begin(), groups.end(), [&](size_t a, size_t b) { return values[a] > values[b]; });
  std::vector<bool> open(experts, false);
  for (size_t i = 0; i < static_cast<size_t>(s.top_groups); ++i) {
    for (size_t e = groups[i] * size; e < (groups[i] + 1) * size; ++e) open[e] = true;
  }
  std::vector<int32_t> order(experts);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const auto x = static_cast<size_t>(a), y = static_cast<size_t>(b);
    return open[x] != open[y] ? open[x] : ranked[x] > ranked[y];
  });
  Naive out;
  double chosen = 0;
  for (size_t i = 0; i < static_cast<size_t>(s.top_k); ++i) {
    out.ids.push_back(order[i]);
    out.weights.push_back(scores[static_cast<size_t>(order[i])]);
    chosen += out.weights.back();
  }
  for (double& w : out.weights) w = (s.normalize ? w / chosen : w) * static_cast<double>(s.scale);
  return out;
}

TEST(Router, IsTheNaiveDefinitionForRandomSpecs) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0, 2);
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<uint32_t>(n)); };
  for (int trial = 0; trial < 3000; ++trial) {
    const int group_size = 1 + pick(9), groups = 1 + pick(6);
    const RouterSpec s = testing_support::random_router(pick, groups, group_size);
    std::vector<float> logits(static_cast<size_t>(s.num_experts)), bias;
    for (float& l : logits) l = normal(random);
    if (pick(2) == 0) {
      for (size_t e = 0; e < logits.size(); ++e) bias.push_back(0.3f * normal(random));
    }
    const Routed got = route(s, logits, bias);
    const Naive wanted = naive(s, logits, bias);
    ASSERT_TRUE(got.ok);
    ASSERT_EQ(got.ids, wanted.ids) << "trial " << trial;
    for (size_t i = 0; i < got.ids.size(); ++i) {
      ASSERT_NEAR(got.weights[i], wanted.weights[i], 1e-6 * std::abs(wanted.weights[i])) << "trial " << trial;
    }
  }
}

TEST(Router, OfEqualScoresTheLowerIndexIsFirst) {
  const Routed r = route(spec_of(6, 4), {1, 3, 1, 3, 1, 1});
  EXPECT_EQ(r.ids, (std::vector<int32_t>{1, 3, 0, 2}));
  EXPECT_EQ(r.weights[0], r.weights[1]);
  RouterSpec grouped = spec_of(6, 2);
  grouped.groups = 3;
  grouped.top_groups = 1;
  EXPECT_EQ(route(grouped, {0, 5, 5, 0, 0, 5}).ids, (std::vector<int32_t>{1, 0}));
}

// Their probabilities round to the same float, and still the larger logit is first.
TEST(Router, ComparesLogitsWhereTheSoftmaxWouldRoundThemTogether) {
  const float low = 1e-6f, high = std::nextafter(low, 1.0f);
  EXPECT_EQ(std::exp(low), std::exp(high));
  EXPECT_EQ(route(spec_of(3, 1, false), {low, high, low}).ids, std::vector<int32_t>{1});
}

TEST(Router, NormalisedWeightsSumToOneAndOthersToLess) {
  const std::vector<float> logits = {0.5f, -1, 2, 0, 1};
  const auto sum = [](const Routed& r) { return std::accumulate(r.weights.begin(), r.weights.end(), 0.0f); };
  EXPECT_NEAR(sum(route(spec_of(5, 2), logits)), 1.0f, 1e-6f);
  EXPECT_LT(sum(route(spec_of(5, 2, false), logits)), 0.9f);
  EXPECT_NEAR(sum(route(spec_of(5, 5, false), logits)), 1.0f, 1e-6f);
}

// The bias decides who is chosen, not with what weight (DeepSeek-V3's balancing).
TEST(Router, ABiasMovesTheChoiceAndNotTheWeights) {
  RouterSpec s = spec_of(4, 2, false);
  s.score = RouterScore::kSigmoid;
  const std::vector<float> logits = {2, 1, 0, -1};
  const Routed plain = route(s, logits), biased = route(s, logits, {0, 0, 0, 5});
  EXPECT_EQ(plain.ids, (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(biased.ids, (std::vector<int32_t>{3, 0}));
  EXPECT_EQ(biased.weights[1], plain.weights[0]);
  EXPECT_NEAR(biased.weights[0], 1 / (1 + std::exp(1.0f)), 1e-7f);
}

TEST(Router, LargeLogitsDoNotOverflow) {
  const Routed r = route(spec_of(3, 2), {3e38f, -3e38f, 2.9e38f});
  EXPECT_EQ(r.ids, (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(r.weights, (std::vector<float>{1, 0}));
}

// -infinity is an expert that is never needed; NaN, +infinity and nothing but -infinity are faults.
TEST(Router, ShowsLogitsThatAreNoNumbers) {
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(route(spec_of(3, 2), {-inf, 1, 0}).ok);
  for (const std::vector<float>& bad : {std::vector<float>{0, nan, 1}, {inf, 0, 0}, {-inf, -inf, -inf}}) {
    const Routed r = route(spec_of(3, 2), bad);
    EXPECT_FALSE(r.ok);
    EXPECT_EQ(r.ids, (std::vector<int32_t>{0, 1}));
    EXPECT_TRUE(std::isnan(r.weights[0]) && std::isnan(r.weights[1]));
  }
  EXPECT_FALSE(route(spec_of(2, 1), {0, 1}, {nan, 0}).ok);
}

TEST(Router, RefusesNumbersThatMakeNoRouting) {
  const auto message = [](auto change) {
    RouterSpec s = spec_of(8, 2);
    change(s);
    const Status status = validate_router(s);
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    return status.message();
  };
  const auto has = [](const std::string& text, const char* word) { return text.find(word) != std::string::npos; };
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.top_k = 9; }), "9 experts per token"));
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.top_k = 0; }), "0 experts per token"));
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.num_experts = 0; }), "0 experts"));
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.num_experts = kMaxExperts + 1; }), "1025 experts"));
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.groups = 3; }), "3 groups"));
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.groups = 8, s.top_groups = 1; }), "do not hold 2"));
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.group_experts = 9; }), "valued by 9"));
  EXPECT_TRUE(has(message([](RouterSpec& s) { s.scale = std::nanf(""); }), "scale"));
}

TEST(Router, SharedExpertsAreWeightedByTheSigmoid) {
  EXPECT_EQ(shared_expert_weight(0), 0.5f);
  EXPECT_EQ(shared_expert_weight(1000), 1.0f);
  EXPECT_EQ(shared_expert_weight(-1000), 0.0f);
  EXPECT_TRUE(std::isnan(shared_expert_weight(std::nanf(""))));
}

}  // namespace
}  // namespace ferrum
