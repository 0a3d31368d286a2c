// Passes over a row of logits [vocab]: each walks the row once, in vectors, in an order that depends on its length
// only.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "types/ids.h"

namespace ferrum {

struct LogitScan {
  float max = 0;         // over the row
  bool invalid = false;  // the row has a NaN or +inf somewhere; -inf is a token that cannot be chosen
};
LogitScan scan_logits(std::span<const float> logits);

// The lowest id whose logit is `max`, which must occur.
TokenId first_with(std::span<const float> logits, float max);

// sum of exp((logit - max) * scale), in double. If `blocks` is given it receives the partial sums of every
// kSumBlock logits. Relative error below 1e-6 for the terms that matter (those above 1e-30).
inline constexpr size_t kSumBlock = 1024;
double sum_exp(std::span<const float> logits, float max, float scale, std::vector<double>* blocks = nullptr);

// exp((logit - max) * scale) as sum_exp computes its terms; logit <= max.
float exp_weight(float logit, float max, float scale);

struct ScoredToken {
  TokenId token = 0;
  float logit = 0;
};
// The order of every filter and of argmax: larger logit first, and of equals the lower id.
inline bool ranks_before(const ScoredToken& a, const ScoredToken& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}
// The n best of the row, best first; one pass with a heap of n, so n should be small. Tokens of logit -inf are left
// out.
void top_n(std::span<const float> logits, int n, std::vector<ScoredToken>& out);

}  // namespace ferrum
