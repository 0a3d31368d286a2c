// Repetition, presence and frequency penalties over the last tokens of a sequence.
#pragma once

#include <span>
#include <unordered_map>

#include "types/sampling.h"

namespace ferrum {

// Counts the tokens inside the window as the sequence grows, one step's tokens at a time: no recount per token.
// Repetition: Keskar et al., "CTRL", 2019. Presence and frequency: as OpenAI's API defines them, except that the prompt
// counts too, within the window.
class Penalties {
 public:
  explicit Penalties(const SamplingParams& params);

  bool active() const { return active_; }
  // history: prompt and generated tokens; what was there in the last call must be its beginning. Positions without a
  // token (kNoToken) take place in the window and count for no token.
  // Changes logits of seen tokens: l > 0 ? l / repetition : l * repetition, then minus presence and count * frequency.
  void apply(std::span<const TokenId> history, std::span<float> logits);

 private:
  float repetition_, presence_, frequency_;
  size_t window_;  // SIZE_MAX = all
  bool active_;
  size_t counted_ = 0;  // tokens of the history that have been counted
  std::unordered_map<TokenId, int> counts_;
};

}  // namespace ferrum
