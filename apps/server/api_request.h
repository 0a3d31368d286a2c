// The bodies of POST /v1/chat/completions and /v1/completions as plain values. Pure: JSON in, request or error out.
//
// Reference: OpenAI API reference, "Create chat completion" and "Create completion (legacy)"; further sampling
// parameters under the names that vLLM and llama.cpp gave them. docs/api.md lists every field.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "apps/server/api_error.h"
#include "apps/server/json_reader.h"
#include "types/sampling.h"
#include "types/speculation.h"

namespace ferrum {

// Bounds on what one request may ask for. Lists are bounded so that no request can hold the server's memory or a step's
// time; each has an error that names the limit.
struct ApiLimits {
  int max_n = 128;
  int max_prompts = 256;  // of one /v1/completions request
  int max_choices = 256;  // n x prompts
  int max_logprobs = 20;
  int max_messages = 4096;
  int max_tools = 256;
  int max_stop = 16;
  size_t max_stop_bytes = 1024;  // of one stop string
  int max_stop_tokens = 256;
  int max_logit_bias = 1024;
  size_t max_cache_salt_bytes = 1024;
  JsonLimits json;             // of the body, and of JSON inside its strings
  bool prompt_embeds = false;  // whether prompts may be input embeddings
};

// What a request says about speculation; what it leaves open is as the server is set.
struct SpeculationWish {
  std::optional<SpeculationMode> mode;
  std::optional<int> max_draft;
};

// What both endpoints share.
struct GenerationParams {
  std::string model;        // "" = absent
  SamplingParams sampling;  // ranges are checked
  StopParams stop;
  SpeculationWish speculation;
  int priority = 0;
  double timeout_seconds = 0, queue_timeout_seconds = 0;  // 0 = as the server is set
  std::string cache_salt;
  int n = 1;
  bool stream = false;
  bool include_usage = false;  // stream_options.include_usage
  bool with_special = false;   // control tokens in the text
};

struct ChatRequest {
  GenerationParams params;
  Json messages;            // normalised: content is a string or null, role "developer" is "system"
  Json tools;               // null or an array
  Json template_variables;  // an object
  bool add_generation_prompt = true;
};

// Input embeddings as they came, in base64, and the field that had them.
struct EncodedEmbeddings {
  std::string base64;
  std::string path;
  bool operator==(const EncodedEmbeddings&) const = default;
};
using Prompt = std::variant<std::string, std::vector<TokenId>, EncodedEmbeddings>;

struct CompletionRequest {
  GenerationParams params;
  std::vector<Prompt> prompts;
  bool echo = false;
};

// The request, or the error to answer with.
std::variant<ChatRequest, ApiError> parse_chat_request(const Json& body, const ApiLimits& limits);
std::variant<CompletionRequest, ApiError> parse_completion_request(const Json& body, const ApiLimits& limits);

}  // namespace ferrum
