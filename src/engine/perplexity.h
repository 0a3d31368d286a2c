// Perplexity of a text under a model, as llama.cpp's llama-perplexity computes it, so that figures compare.
//
// The text is tokenised whole, with BOS where the model wants one and with special-token text as plain text; one
// newline at its end is not part of it. The tokens are cut into chunks of `context`, a rest that fills none is left
// out. Each chunk is computed on its own, its first token replaced by BOS where the model wants one; only the second
// half is scored: position p from context / 2 on predicts token p + 1. The result is exp of the mean negative
// log-likelihood.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/engine.h"
#include "runner/runner.h"
#include "types/progress.h"

namespace ferrum {

struct Perplexity {
  int chunks = 0;
  int64_t tokens = 0;      // scored
  double mean_nll = 0;     // natural logarithm, per token
  double perplexity = 0;   // exp(mean_nll)
  double uncertainty = 0;  // of the perplexity: one standard error of the mean, carried through exp
};

// Called after each chunk with the result over the chunks so far and the number of chunks there will be.
using PerplexityProgress = std::function<void(const Perplexity& so_far, int chunks)>;

constexpr int kMinPerplexityContext = 4;

// kInvalidArgument: a context below kMinPerplexityContext or beyond the model's, a text of fewer than 2 * context
// tokens, invalid UTF-8; otherwise the errors of opening the model.
Result<Perplexity> compute_perplexity(const std::string& model_path, const EngineOptions& options,
                                      std::string_view text, int context, const PerplexityProgress& progress,
                                      const LoadProgress& load_progress);

// The same for tokens. bos: what replaces the first token of each chunk, if anything. The runner's KV cache must hold
// `context` tokens.
Result<Perplexity> perplexity_of_tokens(Runner& runner, std::span<const TokenId> tokens, int context,
                                        std::optional<TokenId> bos, const PerplexityProgress& progress);

}  // namespace ferrum
