#include "apps/server/api_request.h"

#include <array>
#include <charconv>

#include "apps/server/api_fields.h"
#include "apps/server/api_messages.h"

namespace ferrum {
namespace {

using namespace std::string_view_literals;

// Fields that real clients send and that change nothing in what is generated: account and caching hints. Everything
// else that is not implemented is refused by name.
constexpr std::array kHarmless = {
    "user"sv,
    "metadata"sv,
    "store"sv,
    "service_tier"sv,
    "safety_identifier"sv,
    "prompt_cache_key"sv,
    "cache_prompt"sv,
    "prompt_cache_retention"sv,
    "parallel_tool_calls"sv,
    "prediction"sv,
};
constexpr std::array kHarmlessStreamOptions = {"include_obfuscation"sv};

void read_float(FieldReader& fields, std::string_view name, float& value) {
  if (const auto number = fields.number(name)) value = static_cast<float>(*number);
}

void read_stop_strings(FieldReader& fields, const ApiLimits& limits, std::vector<std::string>& stop) {
  const Json* value = fields.find("stop");
  if (value == nullptr) return;
  const Json list = value->is_array() ? *value : Json::array({*value});
  if (list.size() > static_cast<size_t>(limits.max_stop)) {
    return fields.errors().set("stop", "stop has " + std::to_string(list.size()) + " strings; at most " +
                                           std::to_string(limits.max_stop) + " are allowed");
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = value->is_array() ? "stop[" + std::to_string(i) + "]" : "stop";
    if (!list[i].is_string()) {
      return fields.errors().set(path, path + " must be a string, not " + std::string(kind_of(list[i])));
    }
    const auto& text = list[i].get_ref<const std::string&>();
    if (text.empty() || text.size() > limits.max_stop_bytes) {
      return fields.errors().set(path, path + " must have 1 to " + std::to_string(limits.max_stop_bytes) +
                                           " bytes, got " + std::to_string(text.size()));
    }
    stop.push_back(text);
  }
}

void read_logit_bias(FieldReader& fields, const ApiLimits& limits, SamplingParams& sampling) {
  constexpr double kMaxBias = 100;  // OpenAI's range: enough to force or forbid a token
  const Json* value = fields.find("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object()) {
    return fields.errors().set("logit_bias",
                               "logit_bias must be an object of token id to bias, not " + std::string(kind_of(*value)));
  }
  if (value->size() > static_cast<size_t>(limits.max_logit_bias)) {
    return fields.errors().set("logit_bias", "logit_bias has " + std::to_string(value->size()) + " entries; at most " +
                                                 std::to_string(limits.max_logit_bias) + " are allowed");
  }
  for (const auto& [key, bias] : value->items()) {
    TokenId token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    if (error != std::errc() || end != key.data() + key.size() || token < 0) {
      return fields.errors().set("logit_bias",
                                 "logit_bias has the key \"" + key.substr(0, 40) + "\"; keys are token ids");
    }
    const std::string path = "logit_bias." + key;
    if (!bias.is_number() || !(bias.get<double>() >= -kMaxBias && bias.get<double>() <= kMaxBias)) {
      return fields.errors().set(path, path + " must be a number from -100 to 100");
    }
    sampling.logit_bias.emplace_back(token, bias.get<float>());
  }
}

void read_sampling(FieldReader& fields, const ApiLimits& limits, SamplingParams& sampling) {
  read_float(fields, "temperature", sampling.temperature);
  read_float(fields, "top_p", sampling.top_p);
  read_float(fields, "min_p", sampling.min_p);
  read_float(fields, "typical_p", sampling.typical_p);
  read_float(fields, "presence_penalty", sampling.presence_penalty);
  read_float(fields, "frequency_penalty", sampling.frequency_penalty);
  read_float(fields, "repeat_penalty", sampling.repetition_penalty);  // llama.cpp's name
  read_float(fields, "repetition_penalty", sampling.repetition_penalty);
  if (const auto top_k = fields.integer("top_k", -1, INT32_MAX)) {
    sampling.top_k = *top_k < 0 ? 0 : static_cast<int>(*top_k);  // -1 is vLLM's "off"
  }
  if (const auto window = fields.integer("repeat_last_n", -1, INT32_MAX)) {
    sampling.penalty_window = static_cast<int>(*window);
  }
  sampling.seed = fields.seed("seed");
  read_logit_bias(fields, limits, sampling);

  const Status status = validate(sampling);
  if (status.is_ok()) return;
  const std::string& message = status.message();  // begins with the parameter's name
  fields.errors().set(message.substr(0, message.find(' ')), message);
}

void read_speculation(FieldReader& fields, SpeculationWish& wish) {
  const Json* value = fields.find("speculation");
  if (value == nullptr) return;
  FieldReader members(*value, "speculation", fields.errors());
  if (const auto name = members.string("mode")) {
    wish.mode = speculation_mode(*name);
    if (!wish.mode) {
      fields.errors().set("speculation.mode",
                          "speculation.mode must be " + speculation_modes() + ", not \"" + name->substr(0, 40) + "\"");
    }
  }
  if (const auto draft = members.integer("max_draft", 1, kMaxDraft)) wish.max_draft = static_cast<int>(*draft);
  members.refuse_unknown({});
}

void read_stream_options(FieldReader& fields, GenerationParams& params) {
  params.stream = fields.boolean("stream").value_or(false);
  const Json* value = fields.find("stream_options");
  if (value == nullptr) return;
  if (!params.stream) {
    return fields.errors().set("stream_options", "stream_options is allowed only together with \"stream\": true");
  }
  FieldReader options(*value, "stream_options", fields.errors());
  params.include_usage = options.boolean("include_usage").value_or(false);
  options.refuse_unknown(kHarmlessStreamOptions);
}

void read_common(FieldReader& fields, const ApiLimits& limits, GenerationParams& params) {
  params.n = static_cast<int>(fields.integer("n", 1, limits.max_n).value_or(1));
  read_stream_options(fields, params);
  read_sampling(fields, limits, params.sampling);
  read_stop_strings(fields, limits, params.stop.stop);
  read_token_list(fields, "stop_token_ids", limits.max_stop_tokens, params.stop.stop_token_ids);
  read_speculation(fields, params.speculation);
  read_model_and_queueing(fields, limits, params);
  params.stop.ignore_eos = fields.boolean("ignore_eos").value_or(false);
  params.stop.include_stop = fields.boolean("include_stop_str_in_output").value_or(false);
  params.with_special = !fields.boolean("skip_special_tokens").value_or(true);
}

void refuse_response_format(FieldReader& fields) {
  const Json* value = fields.find("response_format");
  if (value == nullptr) return;
  FieldReader format(*value, "response_format", fields.errors());
  const auto type = format.string("type");
  if (type == "text") return format.refuse_unknown({});
  fields.errors().set("response_format",
                      type ? "response_format of type \"" + type->substr(0, 40) +
                                 "\" is not supported yet; use {\"type\": \"text\"} and ask for the form in the prompt"
                           : std::string("response_format.type is missing"),
                      type ? "unsupported_value" : "");
}

void read_tools(FieldReader& fields, const ApiLimits& limits, Json& tools) {
  if (const Json* value = fields.find("tools")) {
    if (!value->is_array()) {
      return fields.errors().set("tools", "tools must be an array, not " + std::string(kind_of(*value)));
    }
    if (value->size() > static_cast<size_t>(limits.max_tools)) {
      return fields.errors().set("tools", "tools has " + std::to_string(value->size()) + " entries; at most " +
                                              std::to_string(limits.max_tools) + " are allowed");
    }
    check_tools(*value, fields.errors());
    if (!value->empty()) tools = *value;
  }
  const Json* choice = fields.find("tool_choice");
  if (choice == nullptr || *choice == "auto") return;
  if (*choice == "none") {
    tools = nullptr;
    return;
  }
  fields.errors().set(
      "tool_choice",
      "tool_choice " + dump(*choice).substr(0, 60) +
          " is not supported yet: only \"auto\" (the tools stand in the prompt, the answer is text) and "
          "\"none\"",
      "unsupported_value");
}

void read_chat_logprobs(FieldReader& fields, const ApiLimits& limits, SamplingParams& sampling) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, limits.max_logprobs);
  if (top && !wanted) {
    fields.errors().set("top_logprobs", "top_logprobs is allowed only together with \"logprobs\": true");
  }
  if (wanted) sampling.logprobs = static_cast<int>(top.value_or(0));
}

void read_chat_max_tokens(FieldReader& fields, StopParams& stop) {
  const auto old_name = fields.integer("max_tokens", 1, INT32_MAX);
  const auto new_name = fields.integer("max_completion_tokens", 1, INT32_MAX);
  if (old_name && new_name && *old_name != *new_name) {
    fields.errors().set("max_tokens", "max_tokens and max_completion_tokens contradict each other; give one of them");
  }
  const auto value = new_name ? new_name : old_name;
  if (value) stop.max_tokens = static_cast<int>(*value);
}

void read_template_variables(FieldReader& fields, Json& variables) {
  variables = Json::object();
  if (const Json* value = fields.find("chat_template_kwargs")) {
    if (!value->is_object()) {
      return fields.errors().set("chat_template_kwargs",
                                 "chat_template_kwargs must be an object, not " + std::string(kind_of(*value)));
    }
    variables = *value;
  }
  // A wish about the length of thinking, which only the template can pass on.
  if (const auto effort = fields.string("reasoning_effort")) variables["reasoning_effort"] = *effort;
}

// modalities: ["text"] is what every model does; anything more is refused.
void refuse_modalities(FieldReader& fields) {
  const Json* value = fields.find("modalities");
  if (value == nullptr || *value == Json::array({"text"})) return;
  fields.errors().set("modalities", "only modalities [\"text\"] is supported", "unsupported_value");
}

void read_encoded_embeddings(FieldReader& fields, const ApiLimits& limits, const Json& value,
                             std::vector<Prompt>& prompts) {
  const Json list = value.is_array() ? value : Json::array({value});
  if (list.empty() || list.size() > static_cast<size_t>(limits.max_prompts)) {
    return fields.errors().set("prompt_embeds", "prompt_embeds must have 1 to " + std::to_string(limits.max_prompts) +
                                                    " entries, got " + std::to_string(list.size()));
  }
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string path = value.is_array() ? "prompt_embeds[" + std::to_string(i) + "]" : "prompt_embeds";
    if (!list[i].is_string()) {
      return fields.errors().set(path, path + " must be a string of base64, not " + std::string(kind_of(list[i])));
    }
    prompts.emplace_back(EncodedEmbeddings{list[i].get<std::string>(), path});
  }
}

// OpenAI's clients demand a prompt: an empty one beside embeddings is none.
void read_completion_prompts(FieldReader& fields, const ApiLimits& limits, std::vector<Prompt>& prompts) {
  const Json* embeds = fields.find("prompt_embeds");
  if (embeds == nullptr) return read_prompts(fields, "prompt", limits, prompts);
  if (!limits.prompt_embeds) {
    return fields.errors().set("prompt_embeds",
                               "prompt_embeds is switched off on this server: start it with --enable-prompt-embeds",
                               "unsupported_value");
  }
  const Json* prompt = fields.find("prompt");
  if (prompt != nullptr && *prompt != "") {
    return fields.errors().set("prompt", "prompt and prompt_embeds exclude each other; send them as two requests");
  }
  read_encoded_embeddings(fields, limits, *embeds, prompts);
}

void refuse_best_of_and_suffix(FieldReader& fields, int n) {
  const auto best_of = fields.integer("best_of", 1, INT32_MAX);
  if (best_of && *best_of != n) {
    fields.errors().set("best_of", "best_of is not supported; ask for n answers and choose", "unsupported_value");
  }
  const auto suffix = fields.string("suffix");
  if (suffix && !suffix->empty()) {
    fields.errors().set("suffix", "suffix (fill in the middle) is not supported yet", "unsupported_value");
  }
}

}  // namespace

std::variant<ChatRequest, ApiError> parse_chat_request(const Json& body, const ApiLimits& limits) {
  FirstError errors;
  FieldReader fields(body, "", errors);
  ChatRequest request;
  if (const Json* messages = fields.find("messages")) {
    request.messages = read_messages(*messages, limits.json, limits.max_messages, errors);
  } else {
    errors.set("messages", "messages is missing");
  }
  read_common(fields, limits, request.params);
  read_chat_logprobs(fields, limits, request.params.sampling);
  read_chat_max_tokens(fields, request.params.stop);
  read_tools(fields, limits, request.tools);
  read_template_variables(fields, request.template_variables);
  refuse_response_format(fields);
  refuse_modalities(fields);
  request.add_generation_prompt = fields.boolean("add_generation_prompt").value_or(true);
  fields.refuse_unknown(kHarmless);
  if (errors) return *errors;
  return request;
}

std::variant<CompletionRequest, ApiError> parse_completion_request(const Json& body, const ApiLimits& limits) {
  constexpr int kDefaultMaxTokens = 16;  // OpenAI's default of this endpoint
  FirstError errors;
  FieldReader fields(body, "", errors);
  CompletionRequest request;
  read_completion_prompts(fields, limits, request.prompts);
  read_common(fields, limits, request.params);
  request.echo = fields.boolean("echo").value_or(false);
  if (request.echo && fields.find("prompt_embeds") != nullptr) {
    fields.errors().set("echo", "echo needs a prompt of text or tokens, and embeddings are neither");
  }
  request.params.stop.max_tokens =
      static_cast<int>(fields.integer("max_tokens", 0, INT32_MAX).value_or(kDefaultMaxTokens));
  request.params.sampling.logprobs = static_cast<int>(fields.integer("logprobs", 0, limits.max_logprobs).value_or(-1));
  refuse_best_of_and_suffix(fields, request.params.n);
  refuse_response_format(fields);
  const auto choices = static_cast<int64_t>(request.prompts.size()) * request.params.n;
  if (choices > limits.max_choices) {
    errors.set("n", "n times the number of prompts is " + std::to_string(choices) + "; at most " +
                        std::to_string(limits.max_choices) + " choices are allowed");
  }
  fields.refuse_unknown(kHarmless);
  if (errors) return *errors;
  return request;
}

}  // namespace ferrum
