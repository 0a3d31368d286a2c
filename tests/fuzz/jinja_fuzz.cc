// Compiles the input as a chat template and renders it over a small conversation, in both dialects, with limits small
// enough that the fuzzer also reaches what lies behind them.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "text/jinja/template.h"

namespace {

const nlohmann::ordered_json& context() {
  static const auto kContext = nlohmann::ordered_json::parse(R"({
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "  Grüße 🦀\n"},
                 {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]}],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}],
    "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": true,
    "n": 7, "f": 2.5, "big": 9223372036854775807, "s": "Hello, World", "l": [3, 1, 2], "d": {"a": 1, "b": [null, true]}})");
  return kContext;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  const auto compiled = ferrum::jinja::Template::compile(source);
  if (!compiled.is_ok()) return 0;
  ferrum::jinja::RenderOptions options;
  options.limits.steps = 100'000;
  options.limits.memory = size_t{4} << 20;
  options.limits.output = size_t{1} << 20;
  for (const auto dialect : {ferrum::jinja::Dialect::kPython, ferrum::jinja::Dialect::kHuggingFaceJs}) {
    options.dialect = dialect;
    const auto text = compiled->render(context(), options);
    if (!text.is_ok() && text.status().code() != ferrum::StatusCode::kInvalidArgument) __builtin_trap();
  }
  return 0;
}
