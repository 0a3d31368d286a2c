// The guesses of one sequence: where they come from, how many, and what became of them.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "speculation/draft_length.h"
#include "speculation/ngram_index.h"
#include "speculation/step_costs.h"
#include "types/ids.h"
#include "types/speculation.h"

namespace ferrum {

// What the next step should verify.
struct Proposal {
  GuessSource source = GuessSource::kNgram;
  int count = 0;
  std::span<const TokenId> tokens;  // `count`, or none of kDraft: the draft model makes them when the step has room
};

class Drafter {
 public:
  // Valid params; with mode off it never guesses.
  explicit Drafter(const SpeculationParams& params);

  // What to guess about the tokens that follow `text` (prompt and generated, growing from call to call), at most
  // `limit`. Valid until the next call.
  Proposal propose(std::span<const TokenId> text, int limit, const GuessPrices& prices);
  // How many guesses a step verified, at most those of the last proposal, and how many were right.
  void record(GuessSource source, int verified, int accepted);

 private:
  std::optional<NgramIndex> ngrams_;
  DraftLength ngram_length_;
  std::optional<DraftLength> model_length_;
  std::vector<TokenId> found_;
};

}  // namespace ferrum
