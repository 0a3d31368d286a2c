#include "apps/common/chat_prompt.h"

#include <nlohmann/json.hpp>

namespace ferrum {

Result<ChatPrompt> make_chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                    const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                                    bool add_generation_prompt, const nlohmann::ordered_json& variables) {
  ChatPrompt prompt;
  FERRUM_ASSIGN_OR_RETURN(prompt.text, chat_template.render(messages, tools, add_generation_prompt, variables));
  const EncodeOptions options{.add_special = false, .parse_special = true};
  FERRUM_ASSIGN_OR_RETURN(prompt.tokens, tokenizer.encode(prompt.text, options));
  const auto bos = tokenizer.bos();
  const bool has_bos = bos && !prompt.tokens.empty() && prompt.tokens.front() == *bos;
  if (bos && tokenizer.adds_bos() && !has_bos) prompt.tokens.insert(prompt.tokens.begin(), *bos);
  return prompt;
}

}  // namespace ferrum
