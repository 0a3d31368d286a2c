// The body of POST /v1/embeddings as a plain value, and the answer to it.
//
// Reference: OpenAI API reference, "Create embeddings". docs/api.md lists every field.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "apps/server/api_error.h"
#include "apps/server/api_request.h"
#include "apps/server/api_response.h"
#include "types/hidden_states.h"

namespace ferrum {

struct EmbeddingRequest {
  GenerationParams params;  // model and queueing; nothing is generated
  std::vector<Prompt> inputs;
  HiddenPositions pooling = HiddenPositions::kLast;  // or kMean
  bool normalize = true;                             // to length 1
  bool base64 = false;                               // of little-endian f32, instead of a list of numbers
  std::optional<int64_t> dimensions;                 // that the client expects
};

// The request, or the error to answer with.
std::variant<EmbeddingRequest, ApiError> parse_embedding_request(const Json& body, const ApiLimits& limits);
// Vectors have the model's hidden size, and no other can be had.
std::optional<ApiError> check_dimensions(const EmbeddingRequest& request, int64_t hidden_size);
// Of one choice per input; never a stream.
std::unique_ptr<ResponseFormat> make_embedding_format(std::string model, const EmbeddingRequest& request);

}  // namespace ferrum
