// ferrum inspect, tokenize, template: what a model file says, without running it.
#include "apps/cli/cli.h"

#include <nlohmann/json.hpp>
#include "apps/common/model_path.h"
#include "apps/server/json_reader.h"
#include "engine/inspect.h"
#include "engine/open_text.h"

namespace ferrum {
namespace {

constexpr size_t kMaxText = 1UL << 30;
constexpr size_t kMaxConversation = 64UL << 20;

struct InspectFlags {
  std::string file;
  bool json = false;
};

int inspect_command(const InspectFlags& flags) {
  const Result<std::string> path = resolve_model_path(flags.file);
  if (!path.is_ok()) return report(path.status());
  const Result<std::string> text = inspect_file(*path, flags.json);
  if (!text.is_ok()) return report(text.status());
  write_out(*text);
  return kExitOk;
}

struct TokenizeFlags {
  std::string model, text, file;
  bool has_text = false, no_special = false, decode = false;
};

Result<std::string> decode_ids(const Tokenizer& tokenizer, const std::string& text) {
  const Result<Json> parsed = parse_json(text, {.max_depth = 1});
  if (!parsed.is_ok() || !parsed->is_array())
    return invalid_argument("--decode reads a JSON array of token ids, such as [1, 2, 3]");
  const Json& ids = *parsed;
  std::vector<TokenId> tokens;
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto vocab = static_cast<uint64_t>(tokenizer.vocab_size());
    if (!ids[i].is_number_unsigned() || ids[i].get<uint64_t>() >= vocab) {
      return invalid_argument("entry " + std::to_string(i) + " is not a token id from 0 to " +
                              std::to_string(vocab - 1));
    }
    tokens.push_back(ids[i].get<TokenId>());
  }
  return tokenizer.decode(tokens, /*with_special=*/true);
}

int tokenize_command(const TokenizeFlags& flags) {
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  const auto tokenizer = open_tokenizer(*path);
  if (!tokenizer.is_ok()) return report(tokenizer.status());
  std::string text = flags.text;
  if (!flags.has_text) {
    Result<std::string> input = read_input(flags.file.empty() ? "-" : flags.file, kMaxText);
    if (!input.is_ok()) return report(input.status());
    text = std::move(*input);
  }
  if (flags.decode) {
    const Result<std::string> decoded = decode_ids(**tokenizer, text);
    if (!decoded.is_ok()) return report(decoded.status());
    write_out(*decoded + "\n");
    return kExitOk;
  }
  const EncodeOptions options{.add_special = !flags.no_special, .parse_special = !flags.no_special};
  const Result<std::vector<TokenId>> ids = (*tokenizer)->encode(text, options);
  if (!ids.is_ok()) return report(ids.status());
  write_out(Json(*ids).dump() + "\n");
  return kExitOk;
}

struct TemplateFlags {
  std::string model, file;
  bool no_generation_prompt = false, source = false;
};

// An array of messages, or an object {"messages", "tools"?, "add_generation_prompt"?, ...}: what else it holds are
// variables of the template.
Result<std::string> render_conversation(const ChatTemplate& chat_template, const std::string& text,
                                        bool add_generation_prompt) {
  FERRUM_ASSIGN_OR_RETURN(const Json input, parse_json(text, JsonLimits()));
  Json messages = input, tools = nullptr, variables = Json::object();
  if (input.is_object()) {
    if (!input.contains("messages")) return invalid_argument("the conversation has no \"messages\"");
    for (const auto& [name, value] : input.items()) {
      if (name == "messages") {
        messages = value;
      } else if (name == "tools") {
        tools = value;
      } else if (name == "add_generation_prompt" && value.is_boolean()) {
        add_generation_prompt = value.get<bool>();
      } else {
        variables[name] = value;
      }
    }
  }
  if (!messages.is_array()) return invalid_argument("the messages must be a JSON array");
  return chat_template.render(messages, tools, add_generation_prompt, variables);
}

int template_command(const TemplateFlags& flags) {
  const Result<std::string> path = resolve_model_path(flags.model);
  if (!path.is_ok()) return report(path.status());
  const auto chat_template = open_chat_template(*path);
  if (!chat_template.is_ok()) return report(chat_template.status());
  std::fprintf(stderr, "template: %s\n", (*chat_template)->source_name().c_str());
  if (flags.source) {
    write_out((*chat_template)->source() + "\n");
    return kExitOk;
  }
  const Result<std::string> text = read_input(flags.file.empty() ? "-" : flags.file, kMaxConversation);
  if (!text.is_ok()) return report(text.status());
  const Result<std::string> rendered = render_conversation(**chat_template, *text, !flags.no_generation_prompt);
  if (!rendered.is_ok()) return report(rendered.status());
  write_out(*rendered);
  return kExitOk;
}

}  // namespace

void add_inspect_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<InspectFlags>();
  CLI::App* command = app.add_subcommand("inspect", "Show what a model file contains and whether Ferrum can run it");
  command->add_option("FILE", flags->file, "A .gguf file, or a directory with one")->required();
  command->add_flag("--json", flags->json, "JSON instead of tables");
  command->callback(
      [flags, &invocation] { invocation.run = [flags](const Settings&) { return inspect_command(*flags); }; });
}

void add_tokenize_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<TokenizeFlags>();
  CLI::App* command = app.add_subcommand("tokenize", "Turn text into token ids, or ids into text");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  CLI::Option* text = command->add_option("--text", flags->text, "The text; without --text and --file, standard input");
  command->add_option("--file", flags->file, "A file with the text")->excludes(text);
  command->add_flag("--no-special", flags->no_special,
                    "Add no BOS or EOS, and take special tokens in the text literally");
  command->add_flag("--decode", flags->decode, "The input is a JSON array of ids; print their text");
  command->callback([flags, text, &invocation] {
    flags->has_text = text->count() > 0;
    invocation.run = [flags](const Settings&) { return tokenize_command(*flags); };
  });
}

void add_template_command(CLI::App& app, Invocation& invocation) {
  auto flags = std::make_shared<TemplateFlags>();
  CLI::App* command = app.add_subcommand("template", "Render a JSON conversation with the model's chat template");
  command->add_option("MODEL", flags->model, "A .gguf file, or a directory with one")->required();
  command->add_option("--file", flags->file, "A file with the conversation; else standard input");
  command->add_flag("--no-generation-prompt", flags->no_generation_prompt, "Do not begin the assistant's answer");
  command->add_flag("--source", flags->source, "Print the template itself");
  command->callback(
      [flags, &invocation] { invocation.run = [flags](const Settings&) { return template_command(*flags); }; });
}

}  // namespace ferrum
