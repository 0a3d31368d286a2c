#include "engine/perplexity.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "engine/single_model.h"
#include "runner/single_sequence.h"
#include "text/tokenizer.h"

namespace ferrum {
namespace {

double negative_log_likelihood(std::span<const float> logits, TokenId token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum) - logits[static_cast<size_t>(token)];
}

class Score {
 public:
  void add(double nll) {
    sum_ += nll;
    squares_ += nll * nll;
    ++count_;
  }
  Perplexity result(int chunks) const {
    Perplexity r;
    r.chunks = chunks;
    r.tokens = count_;
    r.mean_nll = sum_ / static_cast<double>(count_);
    r.perplexity = std::exp(r.mean_nll);
    const double variance = squares_ / static_cast<double>(count_) - r.mean_nll * r.mean_nll;
    if (variance > 0 && count_ > 1) {
      r.uncertainty = r.perplexity * std::sqrt(variance / static_cast<double>(count_ - 1));
    }
    return r;
  }

 private:
  double sum_ = 0, squares_ = 0;
  int64_t count_ = 0;
};

Status check_lengths(size_t tokens, int context) {
  if (context < kMinPerplexityContext) {
    return invalid_argument("a context of " + std::to_string(context) +
                            " tokens is too short; perplexity needs at least " + std::to_string(kMinPerplexityContext));
  }
  if (tokens < 2 * static_cast<size_t>(context)) {
    return invalid_argument("the text has " + std::to_string(tokens) + " tokens; perplexity at context " +
                            std::to_string(context) + " needs at least " + std::to_string(2 * int64_t{context}) +
                            ": give a longer text or a shorter context");
  }
  return Status::ok();
}

Status score_chunk(Runner& runner, std::span<const TokenId> chunk, Score& score) {
  const int context = static_cast<int>(chunk.size());
  SingleSequence sequence(runner);
  // The last token predicts nothing inside the chunk.
  return sequence.append(chunk.first(chunk.size() - 1), context / 2, [&](int position, std::span<const float> logits) {
    score.add(negative_log_likelihood(logits, chunk[static_cast<size_t>(position) + 1]));
    return Status::ok();
  });
}

}  // namespace

Result<Perplexity> perplexity_of_tokens(Runner& runner, std::span<const TokenId> tokens, int context,
                                        std::optional<TokenId> bos, const PerplexityProgress& progress) {
  FERRUM_RETURN_IF_ERROR(check_lengths(tokens.size(), context));
  const auto length = static_cast<size_t>(context);
  const int chunks = static_cast<int>(tokens.size() / length);
  Score score;
  for (int i = 0; i < chunks; ++i) {
    const auto part = tokens.subspan(static_cast<size_t>(i) * length, length);
    std::vector<TokenId> chunk(part.begin(), part.end());
    if (bos) chunk[0] = *bos;
    FERRUM_RETURN_IF_ERROR(score_chunk(runner, chunk, score));
    if (progress) progress(score.result(i + 1), chunks);
  }
  return score.result(chunks);
}

Result<Perplexity> compute_perplexity(const std::string& model_path, const EngineOptions& options,
                                      std::string_view text, int context, const PerplexityProgress& progress,
                                      const LoadProgress& load_progress) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  FERRUM_ASSIGN_OR_RETURN(const SingleModel model,
                          open_single_model(model_path, options, {.context = context}, load_progress));
  FERRUM_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::from_gguf(*model.file));
  EncodeOptions encode;
  encode.parse_special = false;
  FERRUM_ASSIGN_OR_RETURN(const std::vector<TokenId> tokens, tokenizer->encode(text, encode));
  const std::optional<TokenId> bos = tokenizer->adds_bos() ? tokenizer->bos() : std::nullopt;
  return perplexity_of_tokens(*model.runner, tokens, context, bos, progress);
}

}  // namespace ferrum
