#include "types/sampling.h"

#include <cmath>
#include <string>

namespace ferrum {
namespace {

struct Range {
  const char* name;
  float value, low, high;
};

Status too_many(const char* name, size_t count, int limit) {
  return invalid_argument(std::string(name) + " has " + std::to_string(count) + " entries; at most " +
                          std::to_string(limit) + " are allowed");
}

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
  if (p.logprobs < -1 || p.logprobs > kMaxLogprobs) {
    return invalid_argument("logprobs must be -1 (off) or at most " + std::to_string(kMaxLogprobs) + ", got " +
                            std::to_string(p.logprobs));
  }
  if (p.logit_bias.size() > static_cast<size_t>(kMaxLogitBias)) {
    return too_many("logit_bias", p.logit_bias.size(), kMaxLogitBias);
  }
  for (const auto& [token, bias] : p.logit_bias) {
    if (!std::isfinite(bias))
      return invalid_argument("logit_bias of token " + std::to_string(token) + " must be finite");
  }
  return Status::ok();
}

Status validate(const StopParams& p) {
  if (p.max_tokens < -1) {
    return invalid_argument("max_tokens must be -1 (no limit), 0 or positive, got " + std::to_string(p.max_tokens));
  }
  if (p.stop.size() > static_cast<size_t>(kMaxStopStrings)) return too_many("stop", p.stop.size(), kMaxStopStrings);
  if (p.stop_token_ids.size() > static_cast<size_t>(kMaxStopTokenIds)) {
    return too_many("stop_token_ids", p.stop_token_ids.size(), kMaxStopTokenIds);
  }
  for (const std::string& s : p.stop) {
    if (s.empty()) return invalid_argument("a stop string must not be empty");
    if (s.size() > static_cast<size_t>(kMaxStopBytes)) {
      return invalid_argument("a stop string has " + std::to_string(s.size()) + " bytes; at most " +
                              std::to_string(kMaxStopBytes) + " are allowed");
    }
  }
  return Status::ok();
}

const char* to_string(FinishReason reason) {
  switch (reason) {
    case FinishReason::kNone: return "none";
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kTimeout: return "timeout";
    case FinishReason::kCancelled: return "cancelled";
    case FinishReason::kError: return "error";
  }
  return "unknown";
}

}  // namespace ferrum
