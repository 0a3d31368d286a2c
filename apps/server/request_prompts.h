// From the prompts of a request to what the engine takes, and the refusals on the way.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "apps/server/api_error.h"
#include "apps/server/api_request.h"
#include "engine/engine.h"

namespace ferrum {

ApiError make_error(int status, std::string message, std::string code, std::string type = "invalid_request_error");
// For a prompt that could not be rendered or encoded. param: its field.
ApiError prompt_error(const Status& status, const std::string& param);
std::optional<ApiError> check_token_ids(const std::vector<TokenId>& ids, int vocab, const std::string& path);
// OpenAI's rule: prompt and wanted answer must fit together, or nothing is generated. (An answer without max_tokens
// ends with "length" where the context does.)
std::optional<ApiError> check_context(size_t prompt_tokens, const GenerationParams& params, int context,
                                      const std::string& param);

struct ReadPrompt {
  std::string text;                                      // "" of embeddings
  std::vector<TokenId> tokens;                           // as in the engine's Request
  std::shared_ptr<const std::vector<float>> embeddings;  // likewise
};
// Encodes, decodes and checks it against the model's vocabulary and context. field: where it came from.
std::variant<ReadPrompt, ApiError> read_prompt(const Prompt& prompt, const GenerationParams& params,
                                               const ApiLimits& limits, const Engine& engine, const std::string& field);

}  // namespace ferrum
