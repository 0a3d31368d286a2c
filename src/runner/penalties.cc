#include "runner/penalties.h"

#include <cstdint>

#include "types/input_text.h"

namespace ferrum {

Penalties::Penalties(const SamplingParams& p)
    : repetition_(p.repetition_penalty),
      presence_(p.presence_penalty),
      frequency_(p.frequency_penalty),
      window_(p.penalty_window < 0 ? SIZE_MAX : static_cast<size_t>(p.penalty_window)),
      active_(window_ > 0 && (repetition_ != 1.0f || presence_ != 0.0f || frequency_ != 0.0f)) {}

void Penalties::apply(std::span<const TokenId> history, std::span<float> logits) {
  if (!active_) return;
  for (; counted_ < history.size(); ++counted_) {
    if (const TokenId token = history[counted_]; token != kNoToken) ++counts_[token];
    if (counted_ < window_ || history[counted_ - window_] == kNoToken) continue;
    const auto left = counts_.find(history[counted_ - window_]);
    if (--left->second == 0) counts_.erase(left);
  }
  for (const auto& [token, count] : counts_) {
    float& logit = logits[static_cast<size_t>(token)];
    logit = logit > 0 ? logit / repetition_ : logit * repetition_;
    logit -= presence_ + static_cast<float>(count) * frequency_;
  }
}

}  // namespace ferrum
