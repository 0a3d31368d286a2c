// A conversation to the prompt text the model was trained on.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "base/status.h"

namespace ferrum {

class Gguf;
class Tokenizer;

class ChatTemplate {
 public:
  // tokenizer.chat_template of the file; where it has none, the template of the family that its special tokens name, and
  // if they name none, a plain "role: content" fallback; source_name() says which.
  static Result<std::shared_ptr<const ChatTemplate>> from_gguf(const Gguf& file, const Tokenizer& tokenizer);
  static Result<std::shared_ptr<const ChatTemplate>> compile(std::string source, std::string bos_token,
                                                             std::string eos_token);
  virtual ~ChatTemplate() = default;

  // messages: array of {"role", "content", ...} as in OpenAI's API. tools: array or null. variables: an object of further
  // names the template may read (enable_thinking, ...) or null. A template's raise_exception is kInvalidArgument with its
  // text; running out of steps, depth or output is kInvalidArgument too.
  virtual Result<std::string> render(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                                     bool add_generation_prompt, const nlohmann::ordered_json& variables) const = 0;
  virtual const std::string& source() const = 0;
  virtual const std::string& source_name() const = 0;  // "tokenizer.chat_template", "built-in chatml", ...
};

}  // namespace ferrum
