#include "speculation/drafter.h"

#include <algorithm>

namespace ferrum {

Drafter::Drafter(const SpeculationParams& params) : length_(std::max(1, params.max_draft)) {
  if (params.mode == SpeculationMode::kNgram) ngrams_.emplace(params.ngram_min, params.ngram_max);
}

std::span<const TokenId> Drafter::draft(std::span<const TokenId> text, int limit) {
  draft_.clear();
  if (!ngrams_ || limit <= 0) return {};
  const int count = std::min(length_.next(), limit);
  if (count > 0) ngrams_->propose(text, count, draft_);
  return draft_;
}

void Drafter::record(int verified, int accepted) { length_.record(verified, accepted); }

}  // namespace ferrum
