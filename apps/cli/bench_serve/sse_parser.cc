#include "apps/cli/bench_serve/sse_parser.h"

#include <utility>

namespace ferrum {

Status SseParser::feed(std::string_view bytes, const EventSink& sink) {
  for (char c : bytes) {
    const bool second_half = after_return_ && c == '\n';
    after_return_ = c == '\r';
    if (second_half) continue;
    if (c == '\n' || c == '\r') {
      FERRUM_RETURN_IF_ERROR(line_done(sink));
      continue;
    }
    line_ += c;
    if (line_.size() + data_.size() > kMaxEvent) {
      return corrupt("an event of the stream is longer than " + std::to_string(kMaxEvent) + " bytes");
    }
  }
  return Status::ok();
}

Status SseParser::line_done(const EventSink& sink) {
  const std::string line = std::exchange(line_, "");
  if (line.empty()) {
    const std::string data = std::exchange(data_, "");
    return std::exchange(has_data_, false) ? sink(data) : Status::ok();
  }
  if (line != "data" && !line.starts_with("data:")) return Status::ok();
  std::string_view value = std::string_view(line).substr(line == "data" ? 4 : 5);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (has_data_) data_ += '\n';
  data_ += value;
  has_data_ = true;
  return Status::ok();
}

}  // namespace ferrum
