// What a request asks of the sampler, and what a generated token carries. Plain values; defaults mean "off".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "types/ids.h"

namespace ferrum {

// Limits on what one request may ask for; beyond them a client would buy memory and time of others.
inline constexpr int kMaxLogprobs = 20;      // alternatives per token, as with OpenAI and vLLM
inline constexpr int kMaxLogitBias = 65536;  // entries
inline constexpr int kMaxStopStrings = 32;
inline constexpr int kMaxStopBytes = 256;  // of one stop string
inline constexpr int kMaxStopTokenIds = 1024;
inline constexpr int kMaxTimeoutSeconds = 86'400 * 365;

// The defaults are OpenAI's: the model's own distribution. Applied in this order: logit bias, penalties, then for
// temperature 0 the argmax; otherwise temperature, top-k, typical, top-p, min-p, and a draw.
struct SamplingParams {
  float temperature = 1.0f;         // 0 = greedy
  int top_k = 0;                    // 0 = off
  float top_p = 1.0f;               // 1 = off
  float min_p = 0.0f;               // 0 = off
  float typical_p = 1.0f;           // 1 = off
  float repetition_penalty = 1.0f;  // 1 = off; divides positive, multiplies negative logits of seen tokens
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  int penalty_window = -1;  // how many of the last tokens (prompt included) penalties look at; -1 = all, 0 = none
  std::vector<std::pair<TokenId, float>> logit_bias;  // added; a token named twice gets both
  std::optional<uint64_t> seed;                       // absent: a random one, which the engine reports
  int logprobs = -1;  // alternatives to report per token; -1 = no log-probabilities at all

  bool greedy() const { return temperature <= 0.0f; }
};

// What `ferrum run` starts a chat with: the values llama.cpp's users are used to.
SamplingParams chat_sampling_defaults();

// Ranges only; whether a token id exists is the engine's question. Names the offending parameter.
Status validate(const SamplingParams& params);

struct StopParams {
  int max_tokens = -1;            // -1 = up to the context length, which also cuts larger numbers; 0 = prompt only
  std::vector<std::string> stop;  // UTF-8; the text ends before the match that is complete first
  std::vector<TokenId> stop_token_ids;  // besides the model's own end tokens
  bool ignore_eos = false;
  bool include_stop = false;  // keep the matched stop string in the text
};

// Ranges and limits, as above.
Status validate(const StopParams& params);

enum class FinishReason { kNone, kStop, kLength, kTimeout, kCancelled, kError };
// OpenAI's names: "stop", "length"; "timeout", "cancelled", "error" for ours.
const char* to_string(FinishReason reason);

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;
};

// Log-probabilities of one position: natural logarithm, of the model's own distribution, before logit bias, penalties,
// temperature and truncation, as OpenAI, vLLM and llama.cpp report them.
struct PositionLogprobs {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // most likely first
};

}  // namespace ferrum
