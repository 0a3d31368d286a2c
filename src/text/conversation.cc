#include "text/conversation.h"

#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

bool is_text_part(const Json& part) {
  return part.is_object() && part.contains("type") && part["type"] == "text" && part.contains("text") &&
         part["text"].is_string();
}

Status check_part(const Json& part, size_t index) {
  if (is_text_part(part)) return Status::ok();
  const std::string where = "content part " + std::to_string(index);
  if (!part.is_object() || !part.contains("type") || !part["type"].is_string()) {
    return invalid_argument(where + " must be an object with a \"type\"");
  }
  if (part["type"] == "text") return invalid_argument(where + " has no \"text\" that is a string");
  return unsupported(where + " has the type \"" + part["type"].get<std::string>().substr(0, 40) +
                     "\"; only text is supported");
}

Status adapt_parts(Json& content, bool is_system, const TemplateCapabilities& capabilities) {
  for (size_t i = 0; i < content.size(); ++i) FERRUM_RETURN_IF_ERROR(check_part(content[i], i));
  if (capabilities.part_content || (capabilities.system_parts && is_system)) return Status::ok();
  std::string joined;
  for (size_t i = 0; i < content.size(); ++i) {
    if (i > 0) joined += '\n';
    joined += content[i]["text"].get_ref<const std::string&>();
  }
  content = std::move(joined);
  return Status::ok();
}

Status adapt_content(Json& message, const TemplateCapabilities& capabilities) {
  if (!message.contains("content")) {
    if (!capabilities.null_content) message["content"] = "";
    return Status::ok();
  }
  Json& content = message["content"];
  if (content.is_array()) return adapt_parts(content, message["role"] == "system", capabilities);
  if (content.is_null()) {
    if (!capabilities.null_content) content = "";
    return Status::ok();
  }
  if (!content.is_string()) return invalid_argument("content must be a string, an array of parts or null");
  const bool parts_only = !capabilities.string_content && capabilities.part_content;
  if (parts_only || (capabilities.system_parts && message["role"] == "system")) {
    content = Json::array({Json{{"type", "text"}, {"text", content}}});
  }
  return Status::ok();
}

Status adapt_arguments(Json& arguments, const TemplateCapabilities& capabilities) {
  if (capabilities.object_arguments && arguments.is_string()) {
    // What is no object stays as the model wrote it.
    Json parsed = Json::parse(arguments.get_ref<const std::string&>(), nullptr, false);
    if (parsed.is_object()) arguments = std::move(parsed);
  } else if (!capabilities.object_arguments && arguments.is_object()) {
    arguments = arguments.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  return Status::ok();
}

Status adapt_calls(Json& message, const TemplateCapabilities& capabilities) {
  if (!message.contains("tool_calls") || message["tool_calls"].is_null()) return Status::ok();
  Json& calls = message["tool_calls"];
  if (!calls.is_array()) return invalid_argument("tool_calls must be an array");
  for (Json& call : calls) {
    if (!call.is_object()) return invalid_argument("each of the tool_calls must be an object");
    // Both forms occur: {"function": {"name", "arguments"}} and, in templates' own examples, {"name", "arguments"}.
    Json& function = call.contains("function") ? call["function"] : call;
    if (!function.is_object()) return invalid_argument("the function of a tool call must be an object");
    if (function.contains("arguments")) FERRUM_RETURN_IF_ERROR(adapt_arguments(function["arguments"], capabilities));
  }
  return Status::ok();
}

Status adapt_message(Json& message, const TemplateCapabilities& capabilities) {
  if (!message.is_object()) return invalid_argument("a message must be an object");
  if (!message.contains("role") || !message["role"].is_string()) {
    return invalid_argument("a message needs a \"role\" that is a string");
  }
  if (message["role"] == "developer" && !capabilities.developer) message["role"] = "system";
  FERRUM_RETURN_IF_ERROR(adapt_content(message, capabilities));
  return adapt_calls(message, capabilities);
}

}  // namespace

Result<Json> adapt_messages(const Json& messages, const TemplateCapabilities& capabilities) {
  if (!messages.is_array()) return invalid_argument("messages must be an array");
  Json adapted = messages;
  for (size_t i = 0; i < adapted.size(); ++i) {
    const Status status = adapt_message(adapted[i], capabilities);
    if (!status.is_ok()) return status.with_context("messages[" + std::to_string(i) + "]");
  }
  return adapted;
}

}  // namespace ferrum
