#include "apps/server/api_error.h"

#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

Json ApiError::to_json() const {
  return {
      {"error", {{"message", message}, {"type", type}, {"param", text_or_null(param)}, {"code", text_or_null(code)}}}};
}

ApiError api_error_from(const Status& status) {
  ApiError error{.status = 500, .message = status.message(), .type = "server_error", .param = "", .code = ""};
  switch (status.code()) {
    case StatusCode::kInvalidArgument:
    case StatusCode::kUnsupported:
      error.status = 400;
      error.type = "invalid_request_error";
      break;
    case StatusCode::kNotFound:
      error.status = 404;
      error.type = "invalid_request_error";
      break;
    case StatusCode::kCapacity:
      error.status = 429;
      error.type = "rate_limit_error";
      error.code = "rate_limit_exceeded";
      error.retry_after = 1;
      break;
    case StatusCode::kCancelled:
      error.status = 503;
      error.type = "service_unavailable";
      break;
    default: break;
  }
  return error;
}

std::string dump(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace ferrum
