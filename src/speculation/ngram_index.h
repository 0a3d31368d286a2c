// Where the end of a text has occurred before: what follows there is a guess at what follows now.
//
// "Prompt lookup": Saxena, github.com/apoorvumang/prompt-lookup-decoding, 2023; Yang et al., "LLMA", 2023. Answers that
// quote their prompt (summaries, edits, code) or repeat themselves are guessed well, and the guess costs no model.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "types/ids.h"

namespace ferrum {

// Holds no tokens: every call is given the whole text, which only grows from call to call. Costs, with N = max - min +
// 1: time O(N * max) per new token, amortised, whatever the text (the hash is keyed per process, so that a prompt
// cannot be made to collide); memory at most 32 * N bytes per token of the text.
class NgramIndex {
 public:
  // 1 <= min <= max.
  NgramIndex(int min, int max);

  // What follows the most recent earlier occurrence of the longest suffix of `text` that has one, of max to min tokens.
  // A continuation that reaches the end of the text goes on with itself: the text is taken to be periodic. `count`
  // tokens replace those in `draft`, or none where no suffix has occurred before.
  void propose(std::span<const TokenId> text, int count, std::vector<TokenId>& draft);

  size_t memory_bytes() const { return slots_.capacity() * sizeof(Slot); }

 private:
  struct Slot {
    int32_t end = 0;  // the n-gram is text[end - length, end), and text[end] exists; 0 = empty
    int32_t length = 0;
  };

  void extend(std::span<const TokenId> text);
  void insert(std::span<const TokenId> text, int end, int length);
  void grow(std::span<const TokenId> text);
  // The slot of the n-gram, or the empty one where it would be.
  Slot& find(std::span<const TokenId> text, std::span<const TokenId> ngram);

  const int min_, max_;
  int indexed_ = 0;          // n-grams that end at or before this position are known
  std::vector<Slot> slots_;  // open addressing, linear probing, at most half full; a power of two
  size_t used_ = 0;
};

}  // namespace ferrum
