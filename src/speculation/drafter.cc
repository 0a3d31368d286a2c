#include "speculation/drafter.h"

#include <algorithm>

namespace ferrum {

Drafter::Drafter(const SpeculationParams& params) : ngram_length_(std::max(1, params.max_draft)) {
  if (params.uses_ngrams()) ngrams_.emplace(params.ngram_min, params.ngram_max);
  if (params.uses_draft_model()) model_length_.emplace(std::max(1, params.max_draft));
}

Proposal Drafter::propose(std::span<const TokenId> text, int limit, const GuessPrices& prices) {
  if (limit <= 0) return {};
  found_.clear();
  if (ngrams_) {
    const int count = std::min(ngram_length_.next(prices.ngram), limit);
    if (count > 0) ngrams_->propose(text, count, found_);
  }
  const int by_model = model_length_ ? std::min(model_length_->next(prices.draft), limit) : 0;
  const Proposal lookup{GuessSource::kNgram, static_cast<int>(found_.size()), found_};
  const bool model_is_better =
      by_model > 0 && ngram_length_.gain(lookup.count, prices.ngram) < model_length_->gain(by_model, prices.draft);
  if (by_model > 0 && (lookup.count == 0 || model_is_better)) return {GuessSource::kDraft, by_model, {}};
  return lookup;
}

void Drafter::record(GuessSource source, int verified, int accepted) {
  (source == GuessSource::kNgram ? ngram_length_ : *model_length_).record(verified, accepted);
}

}  // namespace ferrum
