#include "text/builtin_templates.h"

#include <algorithm>
#include <array>

namespace ferrum {
namespace {

// The formats are those their makers document (model cards of Llama 2 and 3, Mistral, Gemma, Phi-3, Zephyr; OpenAI's
// ChatML). All trim nothing but what the maker's own code trims, and refuse nothing the format can carry.

constexpr std::string_view kChatml = R"({%- for message in messages %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %})";

constexpr std::string_view kLlama3 = R"({{- bos_token }}
{%- for message in messages %}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' + message.content | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %})";

// The system text stands inside the first user turn.
constexpr std::string_view kLlama2 = R"({%- set ns = namespace(system='') %}
{%- for message in messages %}
{%- if message.role == 'system' %}
{%- set ns.system = '<<SYS>>\n' + message.content + '\n<</SYS>>\n\n' %}
{%- elif message.role == 'assistant' %}
{{- ' ' + message.content | trim + ' ' + eos_token }}
{%- else %}
{{- bos_token + '[INST] ' + ns.system + message.content | trim + ' [/INST]' }}
{%- set ns.system = '' %}
{%- endif %}
{%- endfor %})";

constexpr std::string_view kMistral = R"({{- bos_token }}
{%- set ns = namespace(system='') %}
{%- for message in messages %}
{%- if message.role == 'system' %}
{%- set ns.system = message.content + '\n\n' %}
{%- elif message.role == 'assistant' %}
{{- ' ' + message.content | trim + eos_token }}
{%- else %}
{{- '[INST] ' + ns.system + message.content + '[/INST]' }}
{%- set ns.system = '' %}
{%- endif %}
{%- endfor %})";

// Gemma knows no system role; its makers advise to put the text before the first question.
constexpr std::string_view kGemma = R"({{- bos_token }}
{%- set ns = namespace(system='') %}
{%- for message in messages %}
{%- if message.role == 'system' %}
{%- set ns.system = message.content | trim + '\n\n' %}
{%- else %}
{%- set role = 'model' if message.role == 'assistant' else message.role %}
{{- '<start_of_turn>' + role + '\n' + ns.system + message.content | trim + '<end_of_turn>\n' }}
{%- set ns.system = '' %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %})";

constexpr std::string_view kPhi3 = R"({%- for message in messages %}
{{- '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})";

constexpr std::string_view kZephyr = R"({%- for message in messages %}
{{- '<|' + message.role + '|>\n' + message.content + eos_token + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %})";

// For a model that was never taught a format: a transcript, which it may continue.
constexpr std::string_view kPlain = R"({%- for message in messages %}
{{- message.role + ': ' + message.content + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ 'assistant:' }}{% endif %})";

}  // namespace

std::span<const BuiltinTemplate> builtin_templates() {
  static const std::array<BuiltinTemplate, 8> kTemplates = {{
      {"chatml", {"<|im_start|>", "<|im_end|>"}, kChatml},
      {"llama-3", {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}, kLlama3},
      {"gemma", {"<start_of_turn>", "<end_of_turn>"}, kGemma},
      {"phi-3", {"<|user|>", "<|assistant|>", "<|end|>"}, kPhi3},
      {"zephyr", {"<|user|>", "<|assistant|>"}, kZephyr},
      {"llama-2", {"[INST]", "[/INST]", "<<SYS>>"}, kLlama2},
      {"mistral", {"[INST]", "[/INST]"}, kMistral},
      {"plain", {}, kPlain},
  }};
  return kTemplates;
}

const BuiltinTemplate* find_builtin_template(std::string_view name) {
  const auto all = builtin_templates();
  const auto found = std::find_if(all.begin(), all.end(), [&](const BuiltinTemplate& one) { return one.name == name; });
  return found == all.end() ? nullptr : &*found;
}

const BuiltinTemplate& choose_builtin_template(const std::function<bool(std::string_view)>& has_token) {
  const auto all = builtin_templates();
  const auto fits = [&](const BuiltinTemplate& one) {
    return std::all_of(one.tokens.begin(), one.tokens.end(), has_token);
  };
  return *std::find_if(all.begin(), all.end(), fits);  // "plain" always fits
}

}  // namespace ferrum
