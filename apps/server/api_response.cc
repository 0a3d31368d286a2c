#include "apps/server/api_response.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/quote.h"

namespace ferrum {
namespace {

// JSON has no infinity; OpenAI writes -9999 for "practically impossible".
double finite_logprob(float logprob) { return std::max(-9999.0, static_cast<double>(logprob)); }

// A token may be a part of a character; JSON wants whole ones.
std::string replace_invalid(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const size_t length = utf8_sequence_length(bytes);
    text.append(length > 0 ? bytes.substr(0, length) : std::string_view("\xEF\xBF\xBD"));
    bytes.remove_prefix(std::max<size_t>(1, length));
  }
  return text;
}

std::string token_bytes(const Tokenizer& tokenizer, TokenId token) {
  return tokenizer.piece(token, /*with_special=*/true);
}
std::string token_text(const Tokenizer& tokenizer, TokenId token) {
  return replace_invalid(token_bytes(tokenizer, token));
}

Json finish_reason(const Event& event) { return event.finished ? Json(to_string(event.reason)) : Json(nullptr); }

size_t count_characters(std::string_view utf8) {
  return static_cast<size_t>(std::count_if(utf8.begin(), utf8.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // every byte but the continuations starts a character
  }));
}

Json envelope(const ResponseMeta& meta, const char* object) {
  return {{"id", meta.id},
          {"object", object},
          {"created", meta.created},
          {"model", meta.model},
          {"system_fingerprint", meta.fingerprint},
          {"choices", Json::array()}};
}

Json chunk_of(const ResponseMeta& meta, const char* object, Json choice) {
  Json chunk = envelope(meta, object);
  chunk["choices"].push_back(std::move(choice));
  if (meta.usage_in_chunks) chunk["usage"] = nullptr;
  return chunk;
}

Json last_chunk(const ResponseMeta& meta, const char* object, const UsageTotals& usage) {
  Json chunk = envelope(meta, object);
  chunk["usage"] = to_json(usage);
  return chunk;
}

class ChatFormat : public ResponseFormat {
 public:
  ChatFormat(ResponseMeta meta, std::shared_ptr<const Tokenizer> tokenizer, size_t choices)
      : meta_(std::move(meta)), tokenizer_(std::move(tokenizer)), choices_(choices) {}

  std::vector<Json> chunks(size_t index, const Event& event) override {
    std::vector<Json> result;
    Choice& choice = choices_[index];
    if (!choice.started) {
      choice.started = true;
      result.push_back(chunk(index, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr));
    }
    const bool says_something = !event.text.empty() || !event.logprobs.empty();
    if (says_something) result.push_back(chunk(index, {{"content", event.text}}, logprobs(event), nullptr));
    if (event.finished) result.push_back(chunk(index, Json::object(), nullptr, finish_reason(event)));
    return result;
  }

  void add(size_t index, const Event& event) override {
    Choice& choice = choices_[index];
    choice.text += event.text;
    const Json entries = logprobs(event);
    if (!entries.is_null()) {
      if (choice.logprobs.is_null()) choice.logprobs = Json::array();
      for (const Json& entry : entries["content"]) choice.logprobs.push_back(entry);
    }
    if (event.finished) choice.finish_reason = finish_reason(event);
  }

  Json whole(const UsageTotals& usage) const override {
    Json response = envelope(meta_, "chat.completion");
    for (size_t i = 0; i < choices_.size(); ++i) {
      const Choice& choice = choices_[i];
      const Json message = {{"role", "assistant"}, {"content", choice.text}, {"refusal", nullptr}};
      Json logprobs = nullptr;
      if (!choice.logprobs.is_null()) logprobs = {{"content", choice.logprobs}, {"refusal", nullptr}};
      response["choices"].push_back({{"index", i},
                                     {"message", message},
                                     {"logprobs", std::move(logprobs)},
                                     {"finish_reason", choice.finish_reason}});
    }
    response["usage"] = to_json(usage);
    return response;
  }

  Json usage_chunk(const UsageTotals& usage) const override {
    return last_chunk(meta_, "chat.completion.chunk", usage);
  }

 private:
  struct Choice {
    bool started = false;
    std::string text;
    Json logprobs;  // null or the list
    Json finish_reason;
  };

  Json chunk(size_t index, Json delta, Json logprobs, Json reason) const {
    return chunk_of(meta_, "chat.completion.chunk",
                    {{"index", index},
                     {"delta", std::move(delta)},
                     {"logprobs", std::move(logprobs)},
                     {"finish_reason", std::move(reason)}});
  }

  Json entry(const TokenLogprob& token) const {
    const std::string bytes = token_bytes(*tokenizer_, token.token);
    Json numbers = Json::array();
    for (const char byte : bytes) numbers.push_back(static_cast<unsigned char>(byte));
    return {
        {"token", replace_invalid(bytes)}, {"logprob", finite_logprob(token.logprob)}, {"bytes", std::move(numbers)}};
  }

  Json logprobs(const Event& event) const {
    if (event.logprobs.empty()) return nullptr;
    Json content = Json::array();
    for (const PositionLogprobs& position : event.logprobs) {
      Json chosen = entry(position.chosen);
      chosen["top_logprobs"] = Json::array();
      for (const TokenLogprob& alternative : position.top) chosen["top_logprobs"].push_back(entry(alternative));
      content.push_back(std::move(chosen));
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }

  ResponseMeta meta_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::vector<Choice> choices_;
};

class CompletionFormat : public ResponseFormat {
 public:
  CompletionFormat(ResponseMeta meta, std::shared_ptr<const Tokenizer> tokenizer, CompletionFormatOptions options)
      : meta_(std::move(meta)),
        tokenizer_(std::move(tokenizer)),
        options_(std::move(options)),
        choices_(options_.prompts.size() * static_cast<size_t>(options_.n)) {}

  std::vector<Json> chunks(size_t index, const Event& event) override {
    Piece piece = next_piece(index, event);
    if (piece.text.empty() && piece.logprobs.is_null() && !event.finished) return {};
    return {chunk_of(meta_, "text_completion",
                     {{"index", index},
                      {"text", std::move(piece.text)},
                      {"logprobs", std::move(piece.logprobs)},
                      {"finish_reason", finish_reason(event)}})};
  }

  void add(size_t index, const Event& event) override {
    Choice& choice = choices_[index];
    Piece piece = next_piece(index, event);
    choice.text += piece.text;
    if (!piece.logprobs.is_null()) {
      if (choice.logprobs.is_null()) choice.logprobs = empty_logprobs();
      for (auto& [name, list] : piece.logprobs.items()) {
        for (Json& value : list) choice.logprobs[name].push_back(std::move(value));
      }
    }
    if (event.finished) choice.finish_reason = finish_reason(event);
  }

  Json whole(const UsageTotals& usage) const override {
    Json response = envelope(meta_, "text_completion");
    for (size_t i = 0; i < choices_.size(); ++i) {
      response["choices"].push_back({{"index", i},
                                     {"text", choices_[i].text},
                                     {"logprobs", choices_[i].logprobs},
                                     {"finish_reason", choices_[i].finish_reason}});
    }
    response["usage"] = to_json(usage);
    return response;
  }

  Json usage_chunk(const UsageTotals& usage) const override { return last_chunk(meta_, "text_completion", usage); }

 private:
  struct Choice {
    bool started = false;
    size_t offset = 0;  // characters before the next token, counted from the beginning of the prompt
    std::string text;
    Json logprobs;
    Json finish_reason;
  };
  struct Piece {
    std::string text;
    Json logprobs;  // null or four lists of equal length
  };

  static Json empty_logprobs() {
    return {{"tokens", Json::array()},
            {"token_logprobs", Json::array()},
            {"top_logprobs", Json::array()},
            {"text_offset", Json::array()}};
  }

  Piece next_piece(size_t index, const Event& event) {
    Choice& choice = choices_[index];
    Piece piece;
    if (!choice.started) {
      choice.started = true;
      const EchoPrompt& prompt = options_.prompts[index / static_cast<size_t>(options_.n)];
      if (options_.echo) {
        piece.text = prompt.text;
        if (!event.prompt_logprobs.empty() || !event.logprobs.empty()) {
          piece.logprobs = echo_logprobs(choice, prompt, event.prompt_logprobs);
        }
      }
      choice.offset = count_characters(prompt.text);
    }
    piece.text += event.text;
    if (!event.logprobs.empty()) {
      if (piece.logprobs.is_null()) piece.logprobs = empty_logprobs();
      for (const PositionLogprobs& position : event.logprobs) {
        append(choice, position.chosen.token, &position, piece.logprobs);
      }
    }
    return piece;
  }

  // `known` has one entry per prompt token but the first, which nothing predicts.
  Json echo_logprobs(Choice& choice, const EchoPrompt& prompt, const std::vector<PositionLogprobs>& known) {
    Json lists = empty_logprobs();
    for (size_t i = 0; i < prompt.tokens.size(); ++i) {
      const bool predicted = i > 0 && i - 1 < known.size();
      append(choice, prompt.tokens[i], predicted ? &known[i - 1] : nullptr, lists);
    }
    // SentencePiece vocabularies put a space before the first word, which the tokens have and the text has not.
    const size_t length = count_characters(prompt.text);
    const size_t surplus = choice.offset > length ? choice.offset - length : 0;
    for (Json& offset : lists["text_offset"]) offset = offset.get<size_t>() - std::min(surplus, offset.get<size_t>());
    return lists;
  }

  void append(Choice& choice, TokenId token, const PositionLogprobs* position, Json& lists) {
    lists["tokens"].push_back(token_text(*tokenizer_, token));
    lists["text_offset"].push_back(choice.offset);
    choice.offset += count_characters(tokenizer_->piece(token, options_.with_special));
    if (position == nullptr) {
      lists["token_logprobs"].push_back(nullptr);
      lists["top_logprobs"].push_back(nullptr);
      return;
    }
    lists["token_logprobs"].push_back(finite_logprob(position->chosen.logprob));
    Json top = Json::object();
    for (const TokenLogprob& alternative : position->top) {
      // Two tokens can have the same text (both halves of a character are U+FFFD): the likelier one, which comes first,
      // stays.
      const std::string text = token_text(*tokenizer_, alternative.token);
      if (!top.contains(text)) top[text] = finite_logprob(alternative.logprob);
    }
    lists["top_logprobs"].push_back(std::move(top));
  }

  ResponseMeta meta_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  CompletionFormatOptions options_;
  std::vector<Choice> choices_;
};

}  // namespace

Json to_json(const UsageTotals& usage) {
  Json json = {{"prompt_tokens", usage.prompt_tokens},
               {"completion_tokens", usage.completion_tokens},
               {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
               {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
  if (usage.drafted_tokens > 0) {  // OpenAI's names; rejected ones are not billed here: they are in no other number
    json["completion_tokens_details"] = {{"accepted_prediction_tokens", usage.accepted_tokens},
                                         {"rejected_prediction_tokens", usage.drafted_tokens - usage.accepted_tokens}};
  }
  return json;
}

std::unique_ptr<ResponseFormat> make_chat_format(ResponseMeta meta, std::shared_ptr<const Tokenizer> tokenizer,
                                                 size_t choices) {
  return std::make_unique<ChatFormat>(std::move(meta), std::move(tokenizer), choices);
}

std::unique_ptr<ResponseFormat> make_completion_format(ResponseMeta meta, std::shared_ptr<const Tokenizer> tokenizer,
                                                       CompletionFormatOptions options) {
  FERRUM_CHECK(options.n >= 1 && !options.prompts.empty(), "a completion has prompts and choices");
  return std::make_unique<CompletionFormat>(std::move(meta), std::move(tokenizer), std::move(options));
}

}  // namespace ferrum
