// A streamed answer of /v1/completions or /v1/chat/completions: from bytes to text, times and token counts.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/cli/bench_serve/sse_parser.h"
#include "base/status.h"

namespace ferrum {

class AnswerReader {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // kCorrupt for what is not such a stream; kIo for an error that it reports.
  Status head(std::string_view content_type) const;
  Status body(std::string_view bytes, Time now);
  // That it ended with "[DONE]".
  Status end() const;

  const std::string& text() const { return text_; }
  const std::vector<Time>& text_times() const { return text_times_; }  // one per event that carried text
  // Of the usage object; absent where the server sent none.
  std::optional<int> prompt_tokens() const { return prompt_tokens_; }
  std::optional<int> completion_tokens() const { return completion_tokens_; }

 private:
  Status event(std::string_view data, Time now);

  SseParser parser_;
  std::string text_;
  std::vector<Time> text_times_;
  std::optional<int> prompt_tokens_, completion_tokens_;
  bool done_ = false;
};

}  // namespace ferrum
