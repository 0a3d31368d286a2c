#include "text/tokenizer_ends.h"

#include <algorithm>

namespace ferrum {
namespace {

struct EndText {
  std::string_view text;
  // The text alone is proof enough, whatever the type in the file. The others are also ordinary text in some
  // vocabularies ("</s>" is HTML), and count only when they are marked as control.
  bool unmistakable = true;
};

constexpr EndText kEndTexts[] = {
    {"<|eot_id|>"},          // Llama 3
    {"<|eom_id|>"},          // Llama 3.1, before a tool runs
    {"<|eot|>"},             // Llama 4
    {"<|im_end|>"},          // ChatML: Qwen and many more
    {"<|end|>"},             // Phi 3
    {"<|return|>"},          // gpt-oss
    {"<|call|>"},            // gpt-oss
    {"<|flush|>"},           // Solar Open
    {"<|calls|>"},           // Solar Open
    {"<end_of_turn>"},       // Gemma
    {"<|endoftext|>"},       // GPT-2, Phi, Qwen, StarCoder
    {"<|end_of_text|>"},     // Llama 3, Granite
    {"<end_of_utterance>"},  // SmolVLM
    {"<\xef\xbd\x9c"
     "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>"},  // DeepSeek: <｜end▁of▁sentence｜>
    {"[e~["},                                                // MiniMax M2
    {"</s>", false},
    {"<eos>", false},
    {"<EOT>", false},
    {"_<EOT>", false},
    {"[EOT]", false},        // Kimi K2
    {"[EOS]", false},        // Kimi K2
    {"<|fim_pad|>", false},  // Qwen Coder: what ends a completion in fill-in-the-middle and repository prompts
    {"<|repo_name|>", false},
    {"<|file_sep|>", false},
    {"<fim_pad>", false},  // Granite, StarCoder
    {"<reponame>", false},
};

}  // namespace

std::vector<TokenId> find_end_tokens(const std::unordered_map<std::string_view, TokenId>& by_text,
                                     TokenizerSpec& spec) {
  std::vector<TokenId> ends;
  for (const auto& id : {spec.eos, spec.eot, spec.eom}) {
    if (id) ends.push_back(*id);
  }
  for (const EndText& end : kEndTexts) {
    const auto found = by_text.find(end.text);
    if (found == by_text.end()) continue;
    TokenType& type = spec.types[static_cast<size_t>(found->second)];
    if (type != TokenType::kControl && !end.unmistakable) continue;
    type = TokenType::kControl;
    ends.push_back(found->second);
  }
  // In the "harmony" format (gpt-oss, Solar Open) <|end|> ends a message, not the turn: more messages follow.
  const auto has = [&by_text](std::string_view text) { return by_text.count(text) != 0; };
  if ((has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>"))) {
    if (const auto end = by_text.find("<|end|>"); end != by_text.end() && spec.eos != end->second) {
      std::erase(ends, end->second);
    }
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

}  // namespace ferrum
