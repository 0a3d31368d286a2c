#include "runner/sampler.h"

#include <cmath>
#include <string>

#include "runner/philox.h"

namespace ferrum {
namespace {

// What can be said about logits that are no distribution.
Result<LogitScan> usable(std::span<const float> logits, const char* where) {
  const LogitScan scan = scan_logits(logits);
  if (scan.invalid) {
    return internal_error(std::string("the model's logits are NaN or infinite") + where +
                          ": the checkpoint may be damaged, or too imprecise for this prompt");
  }
  if (std::isinf(scan.max))
    return internal_error(std::string("no token is possible") + where + ": every logit is -inf");
  return scan;
}

PositionLogprobs logprobs_of(std::span<const float> logits, const LogitScan& scan, TokenId token, int top,
                             std::vector<ScoredToken>& best) {
  const double log_sum = scan.max + std::log(sum_exp(logits, scan.max, 1.0f));
  const auto logprob = [&](TokenId t) { return static_cast<float>(logits[static_cast<size_t>(t)] - log_sum); };
  PositionLogprobs result;
  result.chosen = {token, logprob(token)};
  top_n(logits, top, best);
  for (const ScoredToken& t : best) result.top.push_back({t.token, logprob(t.token)});
  return result;
}

}  // namespace

Sampler::Sampler(SamplingParams params, uint64_t seed) : params_(std::move(params)), seed_(seed), penalties_(params_) {}

Result<Sampled> Sampler::sample(const SampleInput& input, SamplerScratch& scratch) {
  FERRUM_ASSIGN_OR_RETURN(const LogitScan raw, usable(input.logits, ""));
  LogitScan scan = raw;
  std::span<const float> logits = input.logits;
  if (changes_logits()) {
    scratch.logits.assign(input.logits.begin(), input.logits.end());
    for (const auto& [token, bias] : params_.logit_bias) scratch.logits[static_cast<size_t>(token)] += bias;
    penalties_.apply(input.history, scratch.logits);
    FERRUM_ASSIGN_OR_RETURN(scan, usable(scratch.logits, " after bias and penalties"));
    logits = scratch.logits;
  }

  Sampled sampled;
  const double u = uniform_at(seed_, input.history.size());
  if (params_.greedy()) {
    sampled.token = first_with(logits, scan.max);
  } else if (keeps_all(params_)) {
    sampled.token = draw_from_all(logits, scan, params_, u, scratch.filter);
  } else {
    filter_logits(logits, scan, params_, scratch.filter, scratch.candidates);
    sampled.token = draw(scratch.candidates, u);
  }
  if (params_.logprobs >= 0) {
    sampled.logprobs = logprobs_of(input.logits, raw, sampled.token, params_.logprobs, scratch.filter.best);
  }
  return sampled;
}

Result<PositionLogprobs> score_token(std::span<const float> logits, TokenId token, int top, SamplerScratch& scratch) {
  FERRUM_ASSIGN_OR_RETURN(const LogitScan scan, usable(logits, " at a position of the prompt"));
  return logprobs_of(logits, scan, token, top, scratch.filter.best);
}

}  // namespace ferrum
