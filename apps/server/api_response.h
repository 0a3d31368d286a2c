// Engine events to OpenAI's response objects, whole or as stream chunks.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/server/api_error.h"
#include "engine/engine.h"

namespace ferrum {

struct ResponseMeta {
  std::string id;                // "chatcmpl-..."
  std::string model;             // the name the client asked for
  std::string fingerprint;       // system_fingerprint
  int64_t created = 0;           // Unix seconds
  bool usage_in_chunks = false;  // stream_options.include_usage: "usage": null in every chunk but the last
};

struct UsageTotals {
  int64_t prompt_tokens = 0;  // each prompt once, however many choices it has
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
  int64_t drafted_tokens = 0, accepted_tokens = 0;  // as in the engine's Usage
};
Json to_json(const UsageTotals& usage);

// One answer in the making. Either chunks() is called for every event (streaming), or add() and at the end whole().
class ResponseFormat {
 public:
  virtual ~ResponseFormat() = default;
  // The chunks that this event of this choice makes; none while its text is undecided.
  virtual std::vector<Json> chunks(size_t choice, const Event& event) = 0;
  virtual void add(size_t choice, const Event& event) = 0;
  virtual Json whole(const UsageTotals& usage) const = 0;
  // The last chunk of a stream that asked for usage: no choices.
  virtual Json usage_chunk(const UsageTotals& usage) const = 0;
};

std::unique_ptr<ResponseFormat> make_chat_format(ResponseMeta meta, std::shared_ptr<const Tokenizer> tokenizer,
                                                 size_t choices);

// The prompt of one choice, for echo and text offsets.
struct EchoPrompt {
  std::string text;
  std::vector<TokenId> tokens;
};
struct CompletionFormatOptions {
  std::vector<EchoPrompt> prompts;  // choice c belongs to prompt c / n
  int n = 1;
  bool echo = false;
  bool with_special = false;
};
std::unique_ptr<ResponseFormat> make_completion_format(ResponseMeta meta, std::shared_ptr<const Tokenizer> tokenizer,
                                                       CompletionFormatOptions options);

}  // namespace ferrum
