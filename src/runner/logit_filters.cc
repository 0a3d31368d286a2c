#include "runner/logit_filters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace ferrum {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
// Up to this k a heap beats a selection over the whole row: almost no logit gets past its worst entry.
constexpr int kHeapTopK = 1024;

bool key_before(const Candidate& a, const Candidate& b) {
  return a.key < b.key || (a.key == b.key && a.token < b.token);
}

double total_weight(std::span<const Candidate> c) {
  double sum = 0;
  for (const Candidate& x : c) sum += x.weight;
  return sum;
}

// Keeps what is not after `last` in the order of keys; the order by id stays.
void keep_up_to(const Candidate& last, std::vector<Candidate>& c) {
  std::erase_if(c, [&](const Candidate& x) { return key_before(last, x); });
}

void keep_count(size_t count, FilterScratch& scratch, std::vector<Candidate>& c) {
  if (count >= c.size()) return;
  scratch.ordered = c;
  const auto nth = scratch.ordered.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(scratch.ordered.begin(), nth, scratch.ordered.end(), key_before);
  keep_up_to(*nth, c);
}

// Keeps the shortest prefix, in the order of keys, whose weights reach `mass`; at least one. A weighted selection:
// halve the range at its median, and go on in the half where the sum crosses the mark. Linear in all.
void keep_mass(double mass, FilterScratch& scratch, std::vector<Candidate>& c) {
  scratch.ordered = c;
  auto lo = scratch.ordered.begin(), hi = scratch.ordered.end();
  double before_lo = 0;
  while (hi - lo > 1) {
    const auto mid = lo + (hi - lo) / 2;
    std::nth_element(lo, mid, hi, key_before);
    const double half = total_weight({lo, mid});
    if (before_lo + half >= mass) {
      hi = mid;
    } else {
      before_lo += half;
      lo = mid;
    }
  }
  const Candidate last = *lo;
  keep_up_to(last, c);
}

void gather(std::span<const float> logits, float at_least, const LogitScan& scan, float scale,
            std::vector<Candidate>& out) {
  out.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (!(logits[i] >= at_least) || logits[i] == -kInf) continue;
    out.push_back({static_cast<TokenId>(i), logits[i], exp_weight(logits[i], scan.max, scale), -logits[i]});
  }
}

void gather_top_k(std::span<const float> logits, int k, const LogitScan& scan, float scale, FilterScratch& scratch,
                  std::vector<Candidate>& out) {
  if (k > kHeapTopK) {
    gather(logits, -kInf, scan, scale, out);
    keep_count(static_cast<size_t>(k), scratch, out);
    return;
  }
  top_n(logits, k, scratch.best);
  out.clear();
  for (const ScoredToken& t : scratch.best) {
    out.push_back({t.token, t.logit, exp_weight(t.logit, scan.max, scale), -t.logit});
  }
  std::sort(out.begin(), out.end(), [](const Candidate& a, const Candidate& b) { return a.token < b.token; });
}

// Logit under which a token cannot be in the nucleus of mass p: were all tokens of the row that unlikely, they would
// have less than 1 - p together, so the rest has p already. The factor covers the rounding of the sum.
float nucleus_floor(float p, double total, size_t vocab, const LogitScan& scan, float scale) {
  const double weight = 0.999 * (1.0 - static_cast<double>(p)) * total / static_cast<double>(vocab);
  if (!(weight > 0)) return -kInf;
  return static_cast<float>(scan.max + std::log(weight) / scale);
}

// Order by the distance of a token's information content from the expected one.
void keep_typical(double p, FilterScratch& scratch, std::vector<Candidate>& c) {
  const double total = total_weight(c);
  double entropy = 0;
  for (const Candidate& x : c) {
    const double probability = x.weight / total;
    if (probability > 0) entropy -= probability * std::log(probability);
  }
  for (Candidate& x : c) {
    x.key = x.weight > 0 ? static_cast<float>(std::abs(-std::log(x.weight / total) - entropy)) : kInf;
  }
  keep_mass(p * total, scratch, c);
}

void keep_min_p(float min_p, float scale, std::vector<Candidate>& c) {
  float best = -kInf;
  for (const Candidate& x : c) best = std::max(best, x.logit);
  const float floor = std::log(min_p);
  std::erase_if(c, [&](const Candidate& x) { return !((x.logit - best) * scale >= floor); });
}

}  // namespace

bool keeps_all(const SamplingParams& p) {
  return p.top_k <= 0 && p.top_p >= 1.0f && p.min_p <= 0.0f && p.typical_p >= 1.0f;
}

float inverse_temperature(const SamplingParams& params) { return 1.0f / std::max(params.temperature, 1e-6f); }

void filter_logits(std::span<const float> logits, const LogitScan& scan, const SamplingParams& params,
                   FilterScratch& scratch, std::vector<Candidate>& out) {
  const float scale = inverse_temperature(params);
  const bool use_top_k = params.top_k > 0 && static_cast<size_t>(params.top_k) < logits.size();
  const bool use_typical = params.typical_p < 1.0f, use_top_p = params.top_p<1.0f, use_min_p = params.min_p> 0.0f;

  std::optional<double> total;  // of what top-p takes its share of, where the gathering leaves some of it out
  if (use_top_k) {
    gather_top_k(logits, params.top_k, scan, scale, scratch, out);
  } else if (use_typical) {
    gather(logits, -kInf, scan, scale, out);
  } else if (use_top_p) {
    total = sum_exp(logits, scan.max, scale);
    gather(logits, nucleus_floor(params.top_p, *total, logits.size(), scan, scale), scan, scale, out);
  } else {
    // A little below min-p's own floor, which keep_min_p applies exactly.
    const float floor = use_min_p ? scan.max + (std::log(params.min_p) - 0.01f) / scale : -kInf;
    gather(logits, floor, scan, scale, out);
  }
  if (use_typical) {
    keep_typical(params.typical_p, scratch, out);
    for (Candidate& x : out) x.key = -x.logit;
  }
  if (use_top_p) keep_mass(params.top_p * (total ? *total : total_weight(out)), scratch, out);
  if (use_min_p) keep_min_p(params.min_p, scale, out);
  FERRUM_CHECK(!out.empty(), "a filter left no token");
}

TokenId draw(std::span<const Candidate> candidates, double u) {
  const double target = u * total_weight(candidates);
  double sum = 0;
  TokenId last = candidates.front().token;
  for (const Candidate& c : candidates) {
    if (c.weight <= 0) continue;
    last = c.token;  // the answer if rounding leaves the sum short of the target
    sum += c.weight;
    if (sum > target) break;
  }
  return last;
}

TokenId draw_from_all(std::span<const float> logits, const LogitScan& scan, const SamplingParams& params, double u,
                      FilterScratch& scratch) {
  const float scale = inverse_temperature(params);
  double target = u * sum_exp(logits, scan.max, scale, &scratch.block_sums);
  size_t block = 0;
  for (; block + 1 < scratch.block_sums.size() && scratch.block_sums[block] <= target; ++block) {
    target -= scratch.block_sums[block];
  }
  // Rounding may leave the last blocks without the mass that the target asks for: then it is the last possible token.
  while (block > 0 && scratch.block_sums[block] <= 0) --block;
  double sum = 0;
  TokenId last = 0;
  for (size_t i = block * kSumBlock; i < std::min(logits.size(), (block + 1) * kSumBlock); ++i) {
    const float weight = exp_weight(logits[i], scan.max, scale);
    if (weight <= 0) continue;
    last = static_cast<TokenId>(i);
    sum += weight;
    if (sum > target) break;
  }
  return last;
}

}  // namespace ferrum
