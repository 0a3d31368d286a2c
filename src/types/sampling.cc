#include "types/sampling.h"

#include <cmath>
#include <string>

namespace ferrum {
namespace {

struct Range { const char* name; float value, low, high; };

}  // namespace

SamplingParams chat_sampling_defaults() {
  SamplingParams p;
  p.temperature = 0.8f;
  p.top_k = 40;
  p.top_p = 0.95f;
  p.min_p = 0.05f;
  return p;
}

Status validate(const SamplingParams& p) {
  const Range ranges[] = {
      {"temperature", p.temperature, 0.0f, 100.0f},
      {"top_p", p.top_p, 0.0f, 1.0f},
      {"min_p", p.min_p, 0.0f, 1.0f},
      {"typical_p", p.typical_p, 0.0f, 1.0f},
      {"repetition_penalty", p.repetition_penalty, 1e-3f, 1e3f},
      {"presence_penalty", p.presence_penalty, -100.0f, 100.0f},
      {"frequency_penalty", p.frequency_penalty, -100.0f, 100.0f},
  };
  for (const Range& r : ranges) {
    if (std::isfinite(r.value) && r.value >= r.low && r.value <= r.high) continue;
    return invalid_argument(std::string(r.name) + " must be between " + std::to_string(r.low) + " and " +
                            std::to_string(r.high) + ", got " + std::to_string(r.value));
  }
  if (p.top_k < 0) return invalid_argument("top_k must be 0 (off) or positive, got " + std::to_string(p.top_k));
  if (p.penalty_window < -1) {
    return invalid_argument("penalty_window must be -1 (all), 0 or positive, got " + std::to_string(p.penalty_window));
  }
  if (p.logprobs < -1) return invalid_argument("logprobs must be positive, got " + std::to_string(p.logprobs));
  for (const auto& [token, bias] : p.logit_bias) {
    if (!std::isfinite(bias)) return invalid_argument("logit_bias of token " + std::to_string(token) + " must be finite");
  }
  return Status::ok();
}

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone: return "none";
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
    case FinishReason::kError: return "error";
  }
  return "unknown";
}

}  // namespace ferrum
