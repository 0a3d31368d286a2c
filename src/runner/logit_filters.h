// The truncations of a distribution: top-k, locally typical, nucleus, min-p. None of them sorts the vocabulary.
//
// Sources: nucleus (top-p): Holtzman et al., ICLR 2020; locally typical: Meister et al., TACL 2023; min-p: Nguyen et
// al., 2024. "Best" and ties are as in ranks_before(): every filter keeps a well-defined set, independent of the
// algorithm.
#pragma once

#include <span>
#include <vector>

#include "runner/logit_math.h"
#include "types/sampling.h"

namespace ferrum {

struct Candidate {
  TokenId token = 0;
  float logit = 0;
  float weight = 0;  // exp((logit - max) / temperature): proportional to the probability
  float key = 0;     // of the filter at work: the smallest are kept first
};

// Memory that the filters reuse from token to token.
struct FilterScratch {
  std::vector<ScoredToken> best;
  std::vector<Candidate> ordered;
  std::vector<double> block_sums;
};

// The tokens that survive temperature, top-k, typical, top-p and min-p, by ascending id, never empty. scan: of
// `logits`, valid, with a finite maximum. The params are not greedy.
void filter_logits(std::span<const float> logits, const LogitScan& scan, const SamplingParams& params,
                   FilterScratch& scratch, std::vector<Candidate>& out);

// Whether filter_logits would keep everything.
bool keeps_all(const SamplingParams& params);

// 1 / temperature; temperatures below 1e-6 act as 1e-6, where any float logits differ decisively or not at all.
float inverse_temperature(const SamplingParams& params);

// The token at quantile u (in [0, 1)) of the candidates' weights, walked in their order.
TokenId draw(std::span<const Candidate> candidates, double u);
// The same over the whole row, by ascending id.
TokenId draw_from_all(std::span<const float> logits, const LogitScan& scan, const SamplingParams& params, double u,
                      FilterScratch& scratch);

}  // namespace ferrum
