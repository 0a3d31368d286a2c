#include "text/chat_template.h"

#include <nlohmann/json.hpp>

#include "io/gguf.h"
#include "text/builtin_templates.h"
#include "text/conversation.h"
#include "text/jinja/template.h"
#include "text/template_probe.h"
#include "text/tokenizer.h"

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

// One compiled source, with what it was found to understand.
struct Compiled {
  jinja::Template program;
  TemplateCapabilities capabilities;
};

class JinjaChatTemplate : public ChatTemplate {
 public:
  JinjaChatTemplate(std::string source, ChatTemplateOptions options)
      : source_(std::move(source)), options_(std::move(options)) {}

  Status prepare() {
    FERRUM_ASSIGN_OR_RETURN(main_, compile_one(source_));
    if (!options_.tool_source.empty()) {
      FERRUM_ASSIGN_OR_RETURN(with_tools_, compile_one(options_.tool_source));
      main_.capabilities.tools = with_tools_->capabilities.tools;
      main_.capabilities.tool_calls |= with_tools_->capabilities.tool_calls;
    }
    return Status::ok();
  }

  Result<std::string> render(const Json& messages, const Json& tools, bool add_generation_prompt,
                             const Json& variables) const override {
    const bool has_tools = tools.is_array() && !tools.empty();
    const Compiled& chosen = has_tools && with_tools_ ? *with_tools_ : main_;
    FERRUM_ASSIGN_OR_RETURN(Json adapted, adapt_messages(messages, chosen.capabilities));
    FERRUM_ASSIGN_OR_RETURN(Json context, make_context(variables));
    if (!tools.is_null() && !tools.is_array()) return invalid_argument("tools must be an array");
    context["messages"] = std::move(adapted);
    context["tools"] = tools;  // null is none: the names are always defined, as apply_chat_template has it
    context["documents"] = nullptr;
    context["add_generation_prompt"] = add_generation_prompt;
    return chosen.program.render(context, options_.render);
  }

  const std::string& source() const override { return source_; }
  const std::string& source_name() const override { return options_.source_name; }
  const TemplateCapabilities& capabilities() const override { return main_.capabilities; }

 private:
  Result<Compiled> compile_one(const std::string& source) const {
    auto program = jinja::Template::compile(source);
    if (!program.is_ok()) return program.status().with_context(options_.source_name);
    Compiled made{*std::move(program), {}};
    made.capabilities = probe_template(made.program, options_);
    return made;
  }

  // The variables, with the names that every template may read; those of the conversation are not theirs to set.
  Result<Json> make_context(const Json& variables) const {
    if (!variables.is_null() && !variables.is_object()) return invalid_argument("template variables must be an object");
    Json context = variables.is_null() ? Json::object() : variables;
    for (const char* name : {"messages", "tools", "documents", "add_generation_prompt"}) {
      if (context.contains(name)) {
        return invalid_argument("the template variable '" + std::string(name) + "' is set by the conversation itself");
      }
    }
    if (!context.contains("bos_token")) context["bos_token"] = options_.bos_token;
    if (!context.contains("eos_token")) context["eos_token"] = options_.eos_token;
    return context;
  }

  const std::string source_;
  const ChatTemplateOptions options_;
  Compiled main_;
  std::optional<Compiled> with_tools_;
};

}  // namespace

const TemplateCapabilities& ChatTemplate::capabilities() const {
  static const TemplateCapabilities kNone;
  return kNone;
}

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string source, ChatTemplateOptions options) {
  auto made = std::make_shared<JinjaChatTemplate>(std::move(source), std::move(options));
  FERRUM_RETURN_IF_ERROR(made->prepare());
  return std::shared_ptr<const ChatTemplate>(std::move(made));
}

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::compile(std::string source, std::string bos_token,
                                                                  std::string eos_token) {
  ChatTemplateOptions options;
  options.bos_token = std::move(bos_token);
  options.eos_token = std::move(eos_token);
  return compile(std::move(source), std::move(options));
}

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::builtin(std::string_view name, ChatTemplateOptions options) {
  const BuiltinTemplate* found = find_builtin_template(name);
  if (found == nullptr) {
    std::string names;
    for (const BuiltinTemplate& known : builtin_templates()) names.append(names.empty() ? "" : ", ").append(known.name);
    return not_found("there is no built-in chat template '" + std::string(name) + "'; there are: " + names);
  }
  options.source_name = "built-in " + std::string(found->name);
  return compile(std::string(found->source), std::move(options));
}

Result<std::shared_ptr<const ChatTemplate>> ChatTemplate::from_gguf(const Gguf& file, const Tokenizer& tokenizer) {
  ChatTemplateOptions options;
  if (tokenizer.bos()) options.bos_token = tokenizer.piece(*tokenizer.bos(), true);
  if (tokenizer.eos()) options.eos_token = tokenizer.piece(*tokenizer.eos(), true);
  FERRUM_ASSIGN_OR_RETURN(std::optional<std::string> source, file.get_string("tokenizer.chat_template"));
  if (!source || source->empty()) {
    const auto has_token = [&](std::string_view text) { return tokenizer.find(text).has_value(); };
    return builtin(choose_builtin_template(has_token).name, std::move(options));
  }
  FERRUM_ASSIGN_OR_RETURN(const auto tool_source, file.get_string("tokenizer.chat_template.tool_use"));
  options.tool_source = tool_source.value_or("");
  options.source_name = "tokenizer.chat_template";
  return compile(*std::move(source), std::move(options));
}

}  // namespace ferrum
