// Everything about a request that can be wrong before it costs anything.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "engine/engine.h"

namespace ferrum {

struct RequestLimits {
  int64_t vocab_size = 0;
  int max_model_len = 0;  // tokens of a sequence, prompt and generated
  bool has_draft_model = false;
  QueuePolicy queue_policy = QueuePolicy::kFcfs;
  int64_t hidden_size = 0;  // numbers of an input embedding
};

// kInvalidArgument naming the parameter, the value and what is allowed.
Status check_request(const Request& request, const RequestLimits& limits);

// Tokens that a valid request can have in the end, prompt included: max_tokens, cut at the context length.
int final_length(const Request& request, const RequestLimits& limits);

}  // namespace ferrum
