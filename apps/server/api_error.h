// Failures in OpenAI's shape: {"error": {"message", "type", "param", "code"}} with an HTTP status.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/status.h"

namespace ferrum {

using Json = nlohmann::ordered_json;  // keeps the order of keys, which templates show to the model

struct ApiError {
  int status = 400;  // HTTP
  std::string message;
  std::string type = "invalid_request_error";
  std::string param;    // "messages[2].content"; "" = null
  std::string code;     // "model_not_found"; "" = null
  int retry_after = 0;  // seconds; 0 = no Retry-After header

  Json to_json() const;
};

// A request's failure as the HTTP status that fits: kInvalidArgument and kUnsupported 400, kNotFound 404, kCapacity 429
// with Retry-After, kCancelled 503, everything else 500.
ApiError api_error_from(const Status& status);

// JSON text that is always valid UTF-8: bytes that are not become U+FFFD.
std::string dump(const Json& value);

}  // namespace ferrum
