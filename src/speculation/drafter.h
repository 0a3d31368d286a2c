// The guesses of one sequence: where they come from, how many, and what became of them.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "speculation/draft_length.h"
#include "speculation/ngram_index.h"
#include "types/ids.h"
#include "types/speculation.h"

namespace ferrum {

class Drafter {
 public:
  // Valid params; with mode off it never guesses.
  explicit Drafter(const SpeculationParams& params);

  // Guesses at the tokens that follow `text` (prompt and generated, growing from call to call), at most `limit`. Valid
  // until the next call.
  std::span<const TokenId> draft(std::span<const TokenId> text, int limit);
  // How many guesses a step verified, at most those of the last draft, and how many were right.
  void record(int verified, int accepted);

 private:
  std::optional<NgramIndex> ngrams_;
  DraftLength length_;
  std::vector<TokenId> draft_;
};

}  // namespace ferrum
