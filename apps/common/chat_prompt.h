// A conversation to prompt tokens, the same way for the command line and the server.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ferrum {

struct ChatPrompt {
  std::string text;
  std::vector<TokenId> tokens;
};

// Renders and encodes. Most templates write the BOS token themselves and some leave it to the tokenizer: it is there
// exactly once if the model wants one, and never twice.
Result<ChatPrompt> make_chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                                    const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                                    bool add_generation_prompt, const nlohmann::ordered_json& variables);

}  // namespace ferrum
