#include "engine/request_check.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "text/unicode.h"

namespace ferrum {
namespace {

Status check_token(TokenId token, int64_t vocab_size, const std::string& where) {
  if (token >= 0 && token < vocab_size) return Status::ok();
  return invalid_argument(where + " names token " + std::to_string(token) + "; the model's ids go from 0 to " +
                          std::to_string(vocab_size - 1));
}

Status check_embeddings(const Request& request, const RequestLimits& limits) {
  if (request.embeddings == nullptr) return Status::ok();
  const std::vector<float>& numbers = *request.embeddings;
  const auto rows = std::ranges::count(request.prompt, kNoToken);
  if (rows == 0)
    return invalid_argument("the request has embeddings, but no position of its prompt is without a token");
  if (std::ssize(numbers) != rows * limits.hidden_size) {
    return invalid_argument("the embeddings are " + std::to_string(numbers.size()) + " numbers; the " +
                            std::to_string(rows) + " positions without a token take " +
                            std::to_string(limits.hidden_size) + " each, the model's hidden size");
  }
  const auto wrong = std::ranges::find_if_not(numbers, [](float x) { return std::isfinite(x); });
  if (wrong != numbers.end()) {
    const int64_t at = wrong - numbers.begin();
    return invalid_argument("embedding " + std::to_string(at / limits.hidden_size) + " is NaN or infinite at " +
                            std::to_string(at % limits.hidden_size) + "; all numbers must be finite");
  }
  if (request.prompt_logprobs) {
    return invalid_argument("prompt_logprobs are those of tokens, and some of the prompt's positions have none");
  }
  return Status::ok();
}

Status check_prompt(const Request& request, const RequestLimits& limits) {
  const auto length = static_cast<int64_t>(request.prompt.size());
  if (length == 0) return invalid_argument("the prompt is empty: at least one token is needed");
  const int answer = request.stop.max_tokens == 0 ? 0 : 1;
  if (length + answer > limits.max_model_len) {
    return invalid_argument("the prompt has " + std::to_string(length) + " tokens, but the context length is " +
                            std::to_string(limits.max_model_len) +
                            (answer ? " and at least one must be left for the answer" : "") + ": shorten the prompt");
  }
  for (size_t i = 0; i < request.prompt.size(); ++i) {
    if (request.prompt[i] == kNoToken && request.embeddings != nullptr) continue;
    FERRUM_RETURN_IF_ERROR(
        check_token(request.prompt[i], limits.vocab_size, "the prompt at position " + std::to_string(i)));
  }
  return check_embeddings(request, limits);
}

Status check_speculation(const SpeculationParams& params, const RequestLimits& limits) {
  FERRUM_RETURN_IF_ERROR(validate(params));
  if (!params.uses_draft_model() || limits.has_draft_model) return Status::ok();
  return invalid_argument("the speculation's mode is \"" + std::string(to_string(params.mode)) +
                          "\", but no draft model is loaded (--draft-model): choose off or ngram");
}

Status check_seconds(const char* name, double seconds) {
  if (seconds >= 0 && seconds <= kMaxTimeoutSeconds) return Status::ok();
  return invalid_argument(std::string(name) + " must be from 0 to " + std::to_string(kMaxTimeoutSeconds) + " seconds");
}

}  // namespace

Status check_request(const Request& request, const RequestLimits& limits) {
  FERRUM_RETURN_IF_ERROR(validate(request.sampling));
  FERRUM_RETURN_IF_ERROR(validate(request.stop));
  if (request.speculation) FERRUM_RETURN_IF_ERROR(check_speculation(*request.speculation, limits));
  FERRUM_RETURN_IF_ERROR(check_prompt(request, limits));
  FERRUM_RETURN_IF_ERROR(check_priority(request.priority, limits.queue_policy));
  FERRUM_RETURN_IF_ERROR(check_seconds("timeout", request.timeout_seconds));
  FERRUM_RETURN_IF_ERROR(check_seconds("queue_timeout", request.queue_timeout_seconds));
  for (const auto& [token, bias] : request.sampling.logit_bias) {
    FERRUM_RETURN_IF_ERROR(check_token(token, limits.vocab_size, "logit_bias"));
  }
  for (const TokenId token : request.stop.stop_token_ids) {
    FERRUM_RETURN_IF_ERROR(check_token(token, limits.vocab_size, "stop_token_ids"));
  }
  for (const std::string& stop : request.stop.stop) {
    if (const auto at = find_invalid_utf8(stop)) {
      return invalid_argument("a stop string is not valid UTF-8 at byte " + std::to_string(*at));
    }
  }
  if (request.prompt_logprobs && request.sampling.logprobs < 0) {
    return invalid_argument("prompt_logprobs needs logprobs: 0 or more alternatives");
  }
  return Status::ok();
}

int final_length(const Request& request, const RequestLimits& limits) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  if (request.stop.max_tokens < 0) return limits.max_model_len;
  return static_cast<int>(std::min<int64_t>(limits.max_model_len, prompt + request.stop.max_tokens));
}

}  // namespace ferrum
