#include "apps/server/request_prompts.h"

#include <algorithm>
#include <utility>

#include "apps/server/prompt_embeds.h"

namespace ferrum {
namespace {

std::variant<ReadPrompt, ApiError> read_ids(const std::vector<TokenId>& ids, const GenerationParams& params,
                                            const Tokenizer& tokenizer, const std::string& field) {
  if (const auto error = check_token_ids(ids, tokenizer.vocab_size(), field)) return *error;
  return ReadPrompt{tokenizer.decode(ids, params.with_special), ids, nullptr};
}

std::variant<ReadPrompt, ApiError> read_text(const std::string& text, const Tokenizer& tokenizer,
                                             const std::string& field) {
  Result<std::vector<TokenId>> tokens = tokenizer.encode(text, {});
  if (!tokens.is_ok()) return prompt_error(tokens.status(), field);
  return ReadPrompt{text, std::move(*tokens), nullptr};
}

std::variant<ReadPrompt, ApiError> read_embeddings(const EncodedEmbeddings& encoded, int64_t hidden_size,
                                                   const JsonLimits& limits) {
  Result<std::vector<float>> rows = read_prompt_embeds(encoded.base64, hidden_size, limits);
  if (!rows.is_ok()) return prompt_error(rows.status().with_context(encoded.path), encoded.path);
  const size_t count = rows->size() / static_cast<size_t>(hidden_size);
  return ReadPrompt{"", std::vector<TokenId>(count, kNoToken),
                    std::make_shared<const std::vector<float>>(std::move(*rows))};
}

}  // namespace

ApiError make_error(int status, std::string message, std::string code, std::string type) {
  return {
      .status = status, .message = std::move(message), .type = std::move(type), .param = "", .code = std::move(code)};
}

ApiError prompt_error(const Status& status, const std::string& param) {
  ApiError error = api_error_from(status);
  error.param = param;
  return error;
}

std::optional<ApiError> check_token_ids(const std::vector<TokenId>& ids, int vocab, const std::string& path) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] < vocab) continue;
    ApiError error = make_error(400,
                                path + "[" + std::to_string(i) + "] is " + std::to_string(ids[i]) +
                                    ", but the vocabulary has " + std::to_string(vocab) + " tokens",
                                "");
    error.param = path;
    return error;
  }
  return std::nullopt;
}

std::optional<ApiError> check_context(size_t prompt_tokens, const GenerationParams& params, int context,
                                      const std::string& param) {
  const auto wanted = static_cast<int64_t>(prompt_tokens) + std::max(0, params.stop.max_tokens);
  // Without max_tokens at least one token must fit.
  const bool fits = wanted <= context && (params.stop.max_tokens >= 0 || static_cast<int64_t>(prompt_tokens) < context);
  if (fits) return std::nullopt;
  std::string message = "this model's context is " + std::to_string(context) + " tokens; the request needs ";
  if (params.stop.max_tokens > 0) {
    message += std::to_string(wanted) + " (" + std::to_string(prompt_tokens) + " of the prompt and " +
               std::to_string(params.stop.max_tokens) + " of max_tokens). Shorten the prompt or lower max_tokens.";
  } else {
    message += "more: its prompt alone has " + std::to_string(prompt_tokens) + ". Shorten the prompt.";
  }
  ApiError error = make_error(400, std::move(message), "context_length_exceeded");
  error.param = param;
  return error;
}

std::variant<ReadPrompt, ApiError> read_prompt(const Prompt& prompt, const GenerationParams& params,
                                               const ApiLimits& limits, const Engine& engine,
                                               const std::string& field) {
  const std::shared_ptr<const Tokenizer> tokenizer = engine.tokenizer();
  const auto* ids = std::get_if<std::vector<TokenId>>(&prompt);
  const auto* text = std::get_if<std::string>(&prompt);
  auto read = ids != nullptr ? read_ids(*ids, params, *tokenizer, field)
              : text != nullptr
                  ? read_text(*text, *tokenizer, field)
                  : read_embeddings(std::get<EncodedEmbeddings>(prompt), engine.model().hidden_size, limits.json);
  const auto* done = std::get_if<ReadPrompt>(&read);
  if (done == nullptr) return read;
  const auto* embeddings = std::get_if<EncodedEmbeddings>(&prompt);
  const std::string& place = embeddings != nullptr ? embeddings->path : field;
  const int context = engine.options().max_model_len;
  if (const auto error = check_context(done->tokens.size(), params, context, place)) return *error;
  return read;
}

}  // namespace ferrum
