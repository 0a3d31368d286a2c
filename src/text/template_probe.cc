#include "text/template_probe.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

// Words that no template contains by itself.
constexpr std::string_view kText = "zqprobetext";
constexpr std::string_view kTool = "zqprobetool";
constexpr std::string_view kKey = "zqprobekey";
constexpr std::string_view kValue = "zqprobevalue";

class Prober {
 public:
  Prober(const jinja::Template& program, const ChatTemplateOptions& options)
      : program_(program), options_(options), render_(options.render) {
    // A template that loops for ever must not hold up the loading of its model for each probe.
    render_.limits.steps = std::min<size_t>(render_.limits.steps, 500'000);
    render_.limits.memory = std::min<size_t>(render_.limits.memory, size_t{32} << 20);
  }

  // The text, or "" where rendering fails.
  std::string render(Json messages, const Json& tools = nullptr) const {
    Json context;
    context["bos_token"] = options_.bos_token;
    context["eos_token"] = options_.eos_token;
    context["messages"] = std::move(messages);
    context["tools"] = tools;
    context["documents"] = nullptr;
    context["add_generation_prompt"] = true;
    Result<std::string> text = program_.render(context, render_);
    return text.is_ok() ? *std::move(text) : std::string();
  }

 private:
  const jinja::Template& program_;
  const ChatTemplateOptions& options_;
  jinja::RenderOptions render_;
};

bool has(const std::string& text, std::string_view word) { return text.find(word) != std::string::npos; }

Json message(std::string_view role, Json content) { return Json{{"role", role}, {"content", std::move(content)}}; }
Json text_parts(std::string_view text) { return Json::array({Json{{"type", "text"}, {"text", text}}}); }

Json tool_definitions() {
  const Json text_type = {{"type", "string"}, {"description", "a text"}};
  const Json parameters = {
      {"type", "object"}, {"properties", {{std::string(kKey), text_type}}}, {"required", Json::array({kKey})}};
  const Json function = {{"name", kTool}, {"description", "a tool"}, {"parameters", parameters}};
  return Json::array({Json{{"type", "function"}, {"function", function}}});
}

// A question, the call it led to, the tool's answer, the assistant's.
Json call_conversation(const Json& user, Json call_content, Json arguments, const Json& answer) {
  Json call = message("assistant", std::move(call_content));
  const Json function = {{"name", kTool}, {"arguments", std::move(arguments)}};
  call["tool_calls"] = Json::array({Json{{"id", "call12345"}, {"type", "function"}, {"function", function}}});
  Json result = message("tool", answer);
  result["tool_call_id"] = "call12345";
  result["name"] = kTool;
  return Json::array({user, call, result});
}

// A rendered call shows its name and the value of its argument; the definition of the tool has no value.
bool shows_call(const std::string& text) { return has(text, kTool) && has(text, kValue); }

void probe_content(const Prober& prober, TemplateCapabilities& found) {
  found.string_content = has(prober.render(Json::array({message("user", kText)})), kText);
  const std::string parts = prober.render(Json::array({message("user", text_parts(kText))}));
  // A list that was printed as it is shows its own keys.
  found.part_content = has(parts, kText) && !has(parts, "'text'") && !has(parts, "\"text\"");
}

void probe_calls(const Prober& prober, const Json& content, TemplateCapabilities& found) {
  const Json user = message("user", content);
  const Json as_object = {{std::string(kKey), kValue}};
  const Json as_string = as_object.dump();
  const Json empty = found.string_content ? Json("") : text_parts("");
  const Json tools = tool_definitions();
  const std::string object_text = prober.render(call_conversation(user, empty, as_object, content), tools);
  const std::string string_text = prober.render(call_conversation(user, empty, as_string, content), tools);
  const bool printed_dict = has(object_text, "{'" + std::string(kKey) + "'");
  found.object_arguments = shows_call(object_text) && !printed_dict;
  found.tool_calls = found.object_arguments || shows_call(string_text);
  const Json arguments = found.object_arguments ? as_object : as_string;
  const std::string& with_empty = found.object_arguments ? object_text : string_text;
  const std::string with_null = prober.render(call_conversation(user, nullptr, arguments, content), tools);
  found.null_content = found.tool_calls && shows_call(with_null) && has(with_null, "None") == has(with_empty, "None");
}

}  // namespace

TemplateCapabilities probe_template(const jinja::Template& program, const ChatTemplateOptions& options) {
  const Prober prober(program, options);
  TemplateCapabilities found;
  probe_content(prober, found);
  const bool parts_only = !found.string_content && found.part_content;
  const auto content = [&](std::string_view text) { return parts_only ? text_parts(text) : Json(text); };
  const Json user = message("user", content("hello"));
  found.system = has(prober.render(Json::array({message("system", content(kText)), user})), kText);
  if (!found.system) {
    found.system_parts = has(prober.render(Json::array({message("system", text_parts(kText)), user})), kText);
    found.system = found.system_parts;
  }
  // A template that prints any role under its name knows nothing of this one; "system" is the better name there.
  const std::string developer = prober.render(Json::array({message("developer", content(kText)), user}));
  const std::string unknown = prober.render(Json::array({message("zqproberole", content(kText)), user}));
  found.developer = has(developer, kText) && !has(unknown, kText);
  found.tools = has(prober.render(Json::array({user}), tool_definitions()), kTool);
  probe_calls(prober, content("hello"), found);
  return found;
}

}  // namespace ferrum
