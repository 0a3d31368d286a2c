// Server-sent events as they arrive, in pieces of any size. Of the format (WHATWG HTML, "Server-sent events") what
// answers of language models use: data; other fields and comments are skipped.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/status.h"

namespace ferrum {

class SseParser {
 public:
  // The data of one event, lines joined by newlines. A failure ends the parsing.
  using EventSink = std::function<Status(std::string_view data)>;

  static constexpr size_t kMaxEvent = size_t{4} << 20;

  // kCorrupt for an event larger than kMaxEvent; otherwise what the sink says.
  Status feed(std::string_view bytes, const EventSink& sink);

 private:
  Status line_done(const EventSink& sink);

  std::string line_, data_;
  bool has_data_ = false;
  bool after_return_ = false;  // a newline that follows belongs to it
};

}  // namespace ferrum
