// The filters against a naive implementation: probabilities in double, sorted, truncated step by step.
#include "runner/logit_filters.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>

#include "runner/philox.h"

namespace ferrum {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

struct Item {
  TokenId token;
  double logit, p;
};

void normalise(std::vector<Item>& items) {
  double sum = 0;
  for (const Item& i : items) sum += i.p;
  for (Item& i : items) i.p /= sum;
}

void keep_prefix(std::vector<Item>& items, double mass) {
  double sum = 0;
  size_t n = 0;
  while (n < items.size() && (n == 0 || sum < mass)) sum += items[n++].p;
  items.resize(n);
}

void sort_by_probability(std::vector<Item>& items) {
  std::stable_sort(items.begin(), items.end(), [](const Item& a, const Item& b) { return a.logit > b.logit; });
}

std::map<TokenId, double> naive(const std::vector<float>& logits, const SamplingParams& params) {
  std::vector<Item> items;
  const double max = *std::max_element(logits.begin(), logits.end());
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] == -kInf) continue;
    items.push_back({static_cast<TokenId>(i), logits[i], std::exp((logits[i] - max) / params.temperature)});
  }
  sort_by_probability(items);
  if (params.top_k > 0) items.resize(std::min(items.size(), static_cast<size_t>(params.top_k)));
  normalise(items);
  if (params.typical_p < 1) {
    double entropy = 0;
    for (const Item& i : items) entropy -= i.p > 0 ? i.p * std::log(i.p) : 0;
    std::stable_sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
      return std::abs(-std::log(a.p) - entropy) < std::abs(-std::log(b.p) - entropy);
    });
    keep_prefix(items, params.typical_p);
    sort_by_probability(items);
    normalise(items);
  }
  if (params.top_p < 1) keep_prefix(items, params.top_p);
  normalise(items);
  if (params.min_p > 0) {
    const double best = items.front().p;
    std::erase_if(items, [&](const Item& i) { return i.p < params.min_p * best; });
  }
  normalise(items);
  std::map<TokenId, double> result;
  for (const Item& i : items) result[i.token] = i.p;
  return result;
}

SamplingParams with(float temperature, int top_k, float top_p, float min_p, float typical) {
  SamplingParams p;
  p.temperature = temperature;
  p.top_k = top_k;
  p.top_p = top_p;
  p.min_p = min_p;
  p.typical_p = typical;
  return p;
}

std::vector<float> random_logits(std::mt19937_64& rng, size_t n, float spread) {
  std::normal_distribution<float> normal(0.0f, spread);
  std::vector<float> logits(n);
  for (float& l : logits) l = normal(rng);
  return logits;
}

void expect_same_distribution(const std::vector<float>& logits, const SamplingParams& params) {
  FilterScratch scratch;
  std::vector<Candidate> kept;
  filter_logits(logits, scan_logits(logits), params, scratch, kept);
  const auto expected = naive(logits, params);
  double sum = 0;
  for (const Candidate& c : kept) sum += c.weight;
  ASSERT_EQ(kept.size(), expected.size());
  for (size_t i = 0; i < kept.size(); ++i) {
    ASSERT_TRUE(expected.count(kept[i].token)) << "token " << kept[i].token;
    ASSERT_NEAR(kept[i].weight / sum, expected.at(kept[i].token), 2e-6);
    ASSERT_TRUE(i == 0 || kept[i - 1].token < kept[i].token) << "not in the order of ids";
  }
}

TEST(LogitFilters, KeepTheSameTokensAsTheSortedImplementation) {
  std::mt19937_64 rng(11);
  const auto pick = [&](std::initializer_list<float> values) { return *(values.begin() + rng() % values.size()); };
  for (int i = 0; i < 3000 && !HasFailure(); ++i) {
    const SamplingParams params = with(pick({0.2f, 0.7f, 1.0f, 1.8f}), static_cast<int>(pick({0, 0, 1, 5, 40, 5000})),
                                       pick({1, 1, 0, 0.1f, 0.5f, 0.9f, 0.95f, 0.999f}),
                                       pick({0, 0, 0.01f, 0.05f, 0.3f, 1}), pick({1, 1, 0.05f, 0.3f, 0.9f}));
    SCOPED_TRACE(::testing::Message() << "case " << i << " T " << params.temperature << " k " << params.top_k << " p "
                                      << params.top_p << " min " << params.min_p << " typ " << params.typical_p);
    auto logits = random_logits(rng, 1 + rng() % 300, pick({0.1f, 1, 5, 20}));
    if (rng() % 3 == 0) logits[rng() % logits.size()] = 30.0f;
    expect_same_distribution(logits, params);
  }
}

TEST(LogitFilters, AgreeOnALargeVocabulary) {
  std::mt19937_64 rng(5);
  const auto logits = random_logits(rng, 150'000, 2.0f);
  for (const SamplingParams& p :
       {with(1, 0, 0.95f, 0, 1), with(0.7f, 2000, 1, 0, 1), with(1, 40, 0.9f, 0.02f, 1), with(1.5f, 0, 1, 0.1f, 1)}) {
    expect_same_distribution(logits, p);
  }
}

TEST(LogitFilters, EqualLogitsAreCutByTheLowerId) {
  const std::vector<float> logits(10, 1.0f);
  FilterScratch scratch;
  std::vector<Candidate> kept;
  const auto tokens = [&](const SamplingParams& p) {
    filter_logits(logits, scan_logits(logits), p, scratch, kept);
    std::vector<TokenId> ids;
    for (const Candidate& c : kept) ids.push_back(c.token);
    return ids;
  };
  EXPECT_EQ(tokens(with(1, 3, 1, 0, 1)), (std::vector<TokenId>{0, 1, 2}));
  EXPECT_EQ(tokens(with(1, 0, 0.35f, 0, 1)), (std::vector<TokenId>{0, 1, 2, 3}));
  EXPECT_EQ(tokens(with(1, 0, 1, 1.0f, 1)).size(), 10u);
}

TEST(LogitFilters, NeverOfferAnImpossibleToken) {
  std::vector<float> logits(64, -kInf);
  logits[7] = 1.0f;
  logits[9] = 0.5f;
  FilterScratch scratch;
  std::vector<Candidate> kept;
  for (const SamplingParams& p : {with(1, 40, 1, 0, 1), with(1, 0, 0.9999f, 0, 1), with(1, 0, 1, 0.0001f, 1),
                                  with(1, 0, 1, 0, 0.99f), with(1e-30f, 40, 1, 0, 1)}) {
    filter_logits(logits, scan_logits(logits), p, scratch, kept);
    for (const Candidate& c : kept) EXPECT_TRUE(c.token == 7 || c.token == 9) << c.token;
  }
}

// Pearson's chi-square of `draws` draws against the naive distribution. With df degrees of freedom the statistic is
// about df +- sqrt(2 df); five deviations above it happen once in millions of runs, and the seeds are fixed anyway.
void expect_drawn_as(const std::vector<float>& logits, const SamplingParams& params, int draws) {
  const LogitScan scan = scan_logits(logits);
  FilterScratch scratch;
  std::vector<Candidate> kept;
  filter_logits(logits, scan, params, scratch, kept);
  std::map<TokenId, int> counts;
  for (int i = 0; i < draws; ++i) {
    const double u = uniform_at(99, static_cast<uint64_t>(i));
    ++counts[keeps_all(params) ? draw_from_all(logits, scan, params, u, scratch) : draw(kept, u)];
  }
  double chi2 = 0, rest_expected = 0;
  int df = -1, rest = 0;
  for (const auto& [token, p] : naive(logits, params)) {
    const double expected = p * draws;
    if (expected < 5) {  // too rare for the approximation: counted together
      rest_expected += expected;
      rest += counts[token];
    } else {
      chi2 += std::pow(counts[token] - expected, 2) / expected;
      ++df;
    }
    counts.erase(token);
  }
  EXPECT_TRUE(counts.empty()) << "token " << counts.begin()->first << " was drawn and should be impossible";
  if (rest_expected > 5) chi2 += std::pow(rest - rest_expected, 2) / rest_expected, ++df;
  EXPECT_LT(chi2, df + 5 * std::sqrt(2.0 * std::max(df, 1))) << "df " << df;
}

TEST(LogitFilters, DrawFromTheNaiveDistribution) {
  std::mt19937_64 rng(3);
  const auto small = random_logits(rng, 50, 1.5f);
  const auto large = random_logits(rng, 5000, 2.5f);  // several blocks of sums
  for (const auto* logits : {&small, &large}) {
    for (float t : {0.7f, 1.0f, 1.5f}) {
      expect_drawn_as(*logits, with(t, 0, 1, 0, 1), 60'000);
      expect_drawn_as(*logits, with(t, 10, 1, 0, 1), 30'000);
      expect_drawn_as(*logits, with(t, 0, 0.8f, 0, 1), 30'000);
      expect_drawn_as(*logits, with(t, 0, 1, 0.1f, 1), 30'000);
      expect_drawn_as(*logits, with(t, 0, 1, 0, 0.5f), 30'000);
      expect_drawn_as(*logits, with(t, 30, 0.9f, 0.05f, 0.9f), 30'000);
    }
  }
}

TEST(LogitFilters, TheEndsOfTheUnitIntervalAreTheFirstAndLastPossibleToken) {
  std::vector<float> logits(3000, 0.0f);
  logits.front() = logits.back() = -kInf;
  FilterScratch scratch;
  const LogitScan scan = scan_logits(logits);
  EXPECT_EQ(draw_from_all(logits, scan, {}, 0.0, scratch), 1);
  EXPECT_EQ(draw_from_all(logits, scan, {}, std::nextafter(1.0, 0.0), scratch), 2998);
  std::fill(logits.begin() + 1000, logits.end(), -1e30f);  // the last blocks weigh nothing
  EXPECT_EQ(draw_from_all(logits, scan_logits(logits), {}, std::nextafter(1.0, 0.0), scratch), 999);
}

TEST(LogitMath, SumOfExponentialsIsAccurate) {
  std::mt19937_64 rng(8);
  for (float spread : {0.01f, 1.0f, 10.0f, 60.0f}) {
    const auto logits = random_logits(rng, 3333, spread);
    const float max = scan_logits(logits).max;
    double exact = 0;
    for (float l : logits) exact += std::exp(static_cast<double>(l) - max);
    EXPECT_NEAR(sum_exp(logits, max, 1.0f) / exact, 1.0, 3e-7) << "spread " << spread;
  }
}

TEST(LogitMath, ScanFindsTheMaximumAndEveryKindOfBadValueWhereverItStands) {
  for (size_t n : {1u, 15u, 16u, 17u, 100u}) {
    for (size_t at = 0; at < n; ++at) {
      std::vector<float> logits(n, -2.0f);
      logits[at] = 3.0f;
      EXPECT_EQ(scan_logits(logits).max, 3.0f);
      EXPECT_FALSE(scan_logits(logits).invalid);
      EXPECT_EQ(first_with(logits, 3.0f), static_cast<TokenId>(at));
      logits[at] = -kInf;
      EXPECT_FALSE(scan_logits(logits).invalid);
      for (float bad : {kInf, std::nanf("")}) {
        logits[at] = bad;
        EXPECT_TRUE(scan_logits(logits).invalid) << bad << " at " << at << " of " << n;
      }
    }
  }
}

TEST(LogitMath, TopNIsSortedAndStable) {
  const std::vector<float> logits = {1, 5, 5, -kInf, 7, 5, 2};
  std::vector<ScoredToken> best;
  const auto ids = [&](int n) {
    top_n(logits, n, best);
    std::vector<TokenId> tokens;
    for (const auto& t : best) tokens.push_back(t.token);
    return tokens;
  };
  EXPECT_EQ(ids(0), std::vector<TokenId>{});
  EXPECT_EQ(ids(3), (std::vector<TokenId>{4, 1, 2}));
  EXPECT_EQ(ids(100), (std::vector<TokenId>{4, 1, 2, 5, 6, 0}));
}

// Known answers of the Random123 distribution (kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (std::array<uint32_t, 4>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}));
  EXPECT_EQ(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}),
            (std::array<uint32_t, 4>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}));
  EXPECT_EQ(philox4x32({0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}, {0xa4093822u, 0x299f31d0u}),
            (std::array<uint32_t, 4>{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}));
}

}  // namespace
}  // namespace ferrum
