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

std::vector<TokenId> find_end_tokens(const StringIndex& by_text, TokenizerSpec& spec) {
  std::vector<TokenId> ends;
  for (const auto& id : {spec.eos, spec.eot, spec.eom}) {
    if (id) ends.push_back(*id);
  }
  for (const EndText& end : kEndTexts) {
    const TokenId found = by_text.find(end.text);
    if (found < 0) continue;
    TokenType& type = spec.types[static_cast<size_t>(found)];
    if (type != TokenType::kControl && !end.unmistakable) continue;
    type = TokenType::kControl;
    ends.push_back(found);
  }
  // In the "harmony" format (gpt-oss, Solar Open) <|end|> ends a message, not the turn: more messages follow.
  const auto has = [&by_text](std::string_view text) { return by_text.contains(text); };
  if ((has("<|return|>") && has("<|call|>")) || (has("<|flush|>") && has("<|calls|>"))) {
    const TokenId end = by_text.find("<|end|>");
    if (end >= 0 && spec.eos != end) std::erase(ends, end);
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

}  // namespace ferrum
