#include "apps/cli/bench_serve/answer_reader.h"

#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

using nlohmann::json;

const json* member(const json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text_member(const json& object, const char* name) {
  const json* value = member(object, name);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

std::optional<int> count_member(const json& object, const char* name) {
  const json* value = member(object, name);
  if (value == nullptr || !value->is_number_integer()) return std::nullopt;
  return value->get<int>();
}

// Reasoning models answer in two fields; both cost the same time.
std::string text_of(const json& choice) {
  const json* delta = member(choice, "delta");
  if (delta == nullptr) return text_member(choice, "text");
  std::string reasoning = text_member(*delta, "reasoning_content");
  if (reasoning.empty()) reasoning = text_member(*delta, "reasoning");
  return reasoning + text_member(*delta, "content");
}

}  // namespace

Status AnswerReader::head(std::string_view content_type) const {
  if (content_type.starts_with("text/event-stream")) return Status::ok();
  return corrupt("the answer is not a stream of events but " +
                 (content_type.empty() ? std::string("of no type") : std::string(content_type.substr(0, 100))));
}

Status AnswerReader::body(std::string_view bytes, Time now) {
  return parser_.feed(bytes, [&](std::string_view data) { return event(data, now); });
}

Status AnswerReader::end() const { return done_ ? Status::ok() : io_error("the stream ended without [DONE]"); }

Status AnswerReader::event(std::string_view data, Time now) {
  if (data == "[DONE]") {
    done_ = true;
    return Status::ok();
  }
  const json chunk = json::parse(data, nullptr, false);
  if (!chunk.is_object()) return corrupt("an event is not a JSON object: " + std::string(data.substr(0, 100)));
  if (const json* error = member(chunk, "error"); error != nullptr) {
    const std::string message = error->is_string() ? error->get<std::string>() : text_member(*error, "message");
    return io_error("the stream reports: " + (message.empty() ? std::string(data.substr(0, 200)) : message));
  }
  if (const json* usage = member(chunk, "usage"); usage != nullptr) {
    if (const auto count = count_member(*usage, "prompt_tokens")) prompt_tokens_ = count;
    if (const auto count = count_member(*usage, "completion_tokens")) completion_tokens_ = count;
  }
  const json* choices = member(chunk, "choices");
  if (choices == nullptr || !choices->is_array()) return Status::ok();
  std::string text;
  for (const json& choice : *choices) text += text_of(choice);
  if (text.empty()) return Status::ok();  // the role, or a character that is not complete yet
  text_ += text;
  text_times_.push_back(now);
  return Status::ok();
}

}  // namespace ferrum
