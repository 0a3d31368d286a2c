#include "apps/server/api_messages.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

using namespace std::string_view_literals;

constexpr std::array kRoles = {"system"sv, "developer"sv, "user"sv, "assistant"sv, "tool"sv};
// Clients send an answer back as they got it; these carry nothing a template could show.
constexpr std::array kIgnoredInMessages = {"annotations"sv, "id"sv};

std::string indexed(const std::string& path, size_t i) { return path + "[" + std::to_string(i) + "]"; }

void check_content(const Json& content, const std::string& path, FirstError& errors) {
  if (content.is_string()) return;
  if (!content.is_array()) {
    return errors.set(path, path + " must be a string or an array of parts, not " + std::string(kind_of(content)));
  }
  for (size_t i = 0; i < content.size() && !errors; ++i) {
    FieldReader part(content[i], indexed(path, i), errors);
    const auto type = part.string("type");
    if (!type) {
      errors.set(part.path_of("type"), part.path_of("type") + " is missing");
    } else if (*type != "text") {
      errors.set(part.path_of("type"),
                 "content parts of type \"" + type->substr(0, 40) + "\" are not supported; only \"text\" is",
                 "unsupported_value");
    }
    if (!part.string("text")) errors.set(part.path_of("text"), part.path_of("text") + " is missing");
    part.refuse_unknown({});
  }
}

// Arguments travel as JSON text, which the template will parse: the limits of the body hold for it too.
void check_arguments(const Json* arguments, const std::string& path, const JsonLimits& limits, FirstError& errors) {
  if (arguments == nullptr || arguments->is_object()) return;
  if (!arguments->is_string()) return errors.set(path, path + " must be a string of JSON");
  const Status status = check_json_limits(arguments->get_ref<const std::string&>(), limits);
  if (!status.is_ok()) errors.set(path, path + ": " + status.message());
}

void check_tool_calls(const Json& calls, const std::string& path, const JsonLimits& limits, FirstError& errors) {
  if (!calls.is_array()) return errors.set(path, path + " must be an array, not " + std::string(kind_of(calls)));
  for (size_t i = 0; i < calls.size() && !errors; ++i) {
    FieldReader call(calls[i], indexed(path, i), errors);
    const auto type = call.string("type").value_or("function");
    if (type != "function") errors.set(call.path_of("type"), call.path_of("type") + " must be \"function\"");
    call.string("id");
    call.find("index");  // a streamed call has one
    const Json* body = call.find("function");
    if (body == nullptr) return errors.set(call.path_of("function"), call.path_of("function") + " is missing");
    FieldReader function(*body, call.path_of("function"), errors);
    if (!function.string("name")) errors.set(function.path_of("name"), function.path_of("name") + " is missing");
    check_arguments(function.find("arguments"), function.path_of("arguments"), limits, errors);
    function.refuse_unknown({});
    call.refuse_unknown({});
  }
}

Json read_message(const Json& message, const std::string& path, const JsonLimits& limits, FirstError& errors) {
  FieldReader fields(message, path, errors);
  const auto role = fields.string("role");
  if (!role) {
    errors.set(fields.path_of("role"), fields.path_of("role") + " is missing");
    return Json::object();
  }
  if (std::find(kRoles.begin(), kRoles.end(), *role) == kRoles.end()) {
    errors.set(fields.path_of("role"), fields.path_of("role") + " is \"" + role->substr(0, 40) +
                                           "\"; it must be system, developer, user, assistant or tool");
  }
  Json result = {{"role", *role}};
  const Json* content = fields.find("content");
  const Json* calls = *role == "assistant" ? fields.find("tool_calls") : nullptr;
  if (content != nullptr) {
    check_content(*content, fields.path_of("content"), errors);
    result["content"] = *content;
  } else if (calls == nullptr) {
    errors.set(fields.path_of("content"), fields.path_of("content") + " is missing");
  } else {
    result["content"] = nullptr;
  }
  if (calls != nullptr) {
    check_tool_calls(*calls, fields.path_of("tool_calls"), limits, errors);
    if (!calls->empty()) result["tool_calls"] = *calls;
  }
  for (const char* name : {"name", "tool_call_id", "reasoning_content", "reasoning"}) {
    if (const auto text = fields.string(name)) result[name] = *text;
  }
  fields.refuse_unknown(kIgnoredInMessages);
  return result;
}

}  // namespace

Json read_messages(const Json& messages, const JsonLimits& limits, int max_messages, FirstError& errors) {
  Json result = Json::array();
  if (!messages.is_array() || messages.empty()) {
    errors.set("messages", "messages must be a non-empty array");
    return result;
  }
  if (messages.size() > static_cast<size_t>(max_messages)) {
    errors.set("messages", "messages has " + std::to_string(messages.size()) + " entries; at most " +
                               std::to_string(max_messages) + " are allowed");
    return result;
  }
  for (size_t i = 0; i < messages.size() && !errors; ++i) {
    result.push_back(read_message(messages[i], indexed("messages", i), limits, errors));
  }
  return result;
}

void check_tools(const Json& tools, FirstError& errors) {
  for (size_t i = 0; i < tools.size() && !errors; ++i) {
    FieldReader tool(tools[i], indexed("tools", i), errors);
    const auto type = tool.string("type");
    if (type != "function") errors.set(tool.path_of("type"), tool.path_of("type") + " must be \"function\"");
    const Json* body = tool.find("function");
    if (body == nullptr) {
      errors.set(tool.path_of("function"), tool.path_of("function") + " is missing");
      return;
    }
    FieldReader function(*body, tool.path_of("function"), errors);
    if (!function.string("name")) errors.set(function.path_of("name"), function.path_of("name") + " is missing");
    function.string("description");
    function.boolean("strict");
    const Json* parameters = function.find("parameters");
    if (parameters != nullptr && !parameters->is_object()) {
      errors.set(function.path_of("parameters"), function.path_of("parameters") + " must be an object (a JSON schema)");
    }
    function.refuse_unknown({});
    tool.refuse_unknown({});
  }
}

}  // namespace ferrum
