// One sequence on a runner of its own, without a scheduler: for perplexity, logits dumps and tests.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "runner/runner.h"
#include "types/ids.h"

namespace ferrum {

class SingleSequence {
 public:
  // Uses the runner's KV blocks 0, 1, ...: nobody else may run on it meanwhile.
  explicit SingleSequence(Runner& runner) : runner_(runner) {}

  // Gets the logits [vocab] at `position`: the distribution of the token at position + 1. A failure ends the append.
  using LogitSink = std::function<Status(int position, std::span<const float> logits)>;

  // Computes tokens at the positions from length() on, in steps as large as the runner allows, and hands over the
  // logits of every position >= logits_from in order. kInvalidArgument for ids outside the vocabulary, kCapacity when
  // the sequence outgrows the KV cache; nothing is computed then.
  Status append(std::span<const TokenId> tokens, int logits_from, const LogitSink& sink);
  // The same for input embeddings, [tokens, hidden] row-major.
  Status append_embeddings(std::span<const float> embeddings, int logits_from, const LogitSink& sink);
  // Hidden states of the tokens instead of logits, [tokens, hidden] row-major; errors as append().
  Result<std::vector<float>> hidden_states(std::span<const TokenId> tokens, HiddenStates kind);
  // The same for input embeddings: what drives a model as a backbone, whose inputs and outputs are somebody else's.
  Result<std::vector<float>> hidden_states_of_embeddings(std::span<const float> embeddings, HiddenStates kind);

  // Forgets the sequence; the next append starts at position 0.
  void clear() { length_ = 0; }
  int length() const { return length_; }

 private:
  Status check_capacity(size_t count) const;
  Status check_tokens(std::span<const TokenId> tokens) const;
  Status check_embeddings(std::span<const float> embeddings) const;
  // Hands the text to `compute` in steps.
  template <typename Compute>
  Status in_steps(const InputText& text, int logits_from, const Compute& compute);
  Result<std::vector<float>> states_of(const InputText& text, HiddenStates kind);
  size_t hidden_size() const { return static_cast<size_t>(runner_.model().spec().hidden_size); }
  int step_size(int remaining, int logits_from) const;
  Batch make_batch(const InputText& text, size_t begin, int count, int logits_from) const;
  Status run(const Batch& batch, const LogitSink& sink);

  Runner& runner_;
  int length_ = 0;
};

}  // namespace ferrum
