// The next token of one sequence from its logits.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "runner/logit_filters.h"
#include "runner/penalties.h"
#include "types/sampling.h"

namespace ferrum {

// Memory reused by all samplers of a thread.
struct SamplerScratch {
  std::vector<float> logits;
  std::vector<Candidate> candidates;
  FilterScratch filter;
};

struct SampleInput {
  std::span<const float> logits;     // [vocab], host
  std::span<const TokenId> history;  // prompt and generated tokens; its size is the position of the new token
};

struct Sampled {
  TokenId token = 0;
  std::optional<PositionLogprobs> logprobs;  // if the params ask for them
};

// Holds what a request's sampling depends on besides the logits: params, seed and penalty counts. The draw at a
// position is a function of (seed, position), so recomputing a sequence's KV, or batching it with others, changes
// nothing.
class Sampler {
 public:
  // Valid params (validate()); every token id in logit_bias is below the vocabulary size.
  Sampler(SamplingParams params, uint64_t seed);

  uint64_t seed() const { return seed_; }
  // kInternal if the logits hold NaN or +inf, or no token is possible. -inf rules a token out. Histories of successive
  // calls extend each other.
  Result<Sampled> sample(const SampleInput& input, SamplerScratch& scratch);

 private:
  bool changes_logits() const { return !params_.logit_bias.empty() || penalties_.active(); }

  const SamplingParams params_;
  const uint64_t seed_;
  Penalties penalties_;
};

// Log-probability of `token` under the model's own distribution (before bias, penalties and temperature: what OpenAI,
// vLLM and llama.cpp report), with the `top` most likely alternatives. kInternal for NaN or +inf logits.
Result<PositionLogprobs> score_token(std::span<const float> logits, TokenId token, int top, SamplerScratch& scratch);

}  // namespace ferrum
