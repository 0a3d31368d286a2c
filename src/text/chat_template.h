// A conversation to the prompt text the model was trained on. docs/templates.md tells the rules.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "text/jinja/runtime.h"

namespace ferrum {

class Gguf;
class Tokenizer;

// What a template does with the parts of a conversation, found out by rendering small ones when it is compiled.
struct TemplateCapabilities {
  bool system = false;            // the text of a system message reaches the prompt
  bool system_parts = false;      // but only when its content is a list of parts
  bool developer = false;         // so does that of a "developer" message under its own name
  bool tools = false;             // so do the names of tools
  bool tool_calls = false;        // so do an assistant's earlier calls
  bool string_content = false;    // content as a string is understood
  bool part_content = false;      // content as a list of {"type":"text","text":...} is
  bool object_arguments = false;  // the arguments of a call may be an object; otherwise only a string of JSON
  bool null_content = false;      // a message with calls may have the content null
};

struct ChatTemplateOptions {
  std::string bos_token, eos_token;
  std::string source_name = "given template";
  std::string tool_source;  // another template for conversations with tools; empty: the same one
  jinja::RenderOptions render;
};

class ChatTemplate {
 public:
  // tokenizer.chat_template of the file (and tokenizer.chat_template.tool_use when tools are given); where it has none,
  // the template of the family that its special tokens name, and if they name none, a plain "role: content" fallback;
  // source_name() says which.
  static Result<std::shared_ptr<const ChatTemplate>> from_gguf(const Gguf& file, const Tokenizer& tokenizer);
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string source, std::string bos_token,
                                                             std::string eos_token);
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string source, ChatTemplateOptions options);
  // One of our own by name (see builtin_templates.h): "chatml", "llama-3", ...; kNotFound lists them.
  static Result<std::shared_ptr<const ChatTemplate>> builtin(std::string_view name, ChatTemplateOptions options);
  virtual ~ChatTemplate() = default;

  // messages: array of {"role", "content", ...} as in OpenAI's API. tools: array or null. variables: an object of
  // further names the template may read (enable_thinking, ...) or null. A template's raise_exception is
  // kInvalidArgument with its text; running out of steps, depth or output is kInvalidArgument too. Content parts that
  // are not text are kUnsupported.
  virtual Result<std::string> render(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                                     bool add_generation_prompt, const nlohmann::ordered_json& variables) const = 0;
  virtual const std::string& source() const = 0;
  virtual const std::string& source_name() const = 0;        // "tokenizer.chat_template", "built-in chatml", ...
  virtual const TemplateCapabilities& capabilities() const;  // all false for a template that cannot tell
};

}  // namespace ferrum
