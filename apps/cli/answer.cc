#include "apps/cli/answer.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <memory>
#include <mutex>

namespace ferrum {
namespace {

// Events on their way from the engine's thread to the terminal's. Bounded by the answer's length.
class Mailbox {
 public:
  void put(Event event) {
    {
      const std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    arrived_.notify_one();
  }
  std::deque<Event> take(std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    arrived_.wait_for(lock, patience, [this] { return !events_.empty(); });
    return std::exchange(events_, {});
  }

 private:
  std::mutex mutex_;  // protects events_
  std::condition_variable arrived_;
  std::deque<Event> events_;
};

double per_second(int tokens, double seconds) { return seconds > 0 ? tokens / seconds : 0; }

}  // namespace

Result<Answer> get_answer(Engine& engine, Request request, const TextSink& sink,
                          const std::function<bool()>& interrupted) {
  const auto mailbox = std::make_shared<Mailbox>();
  FERRUM_ASSIGN_OR_RETURN(const RequestId id, engine.submit(std::move(request), [mailbox](Event event) {
    mailbox->put(std::move(event));
  }));
  Answer answer;
  bool cancelled = false;
  for (;;) {
    for (Event& event : mailbox->take(std::chrono::milliseconds(50))) {
      answer.text += event.text;
      answer.tokens.insert(answer.tokens.end(), event.tokens.begin(), event.tokens.end());
      if (!event.text.empty() && !cancelled && !sink(event.text)) {
        cancelled = true;
        engine.cancel(id);
      }
      if (!event.finished) continue;
      if (event.reason == FinishReason::kError) return event.error;
      answer.reason = event.reason;
      answer.usage = event.usage;
      return answer;
    }
    if (!cancelled && interrupted()) {
      answer.interrupted = cancelled = true;
      engine.cancel(id);
    }
  }
}

std::string timing_line(const Usage& usage) {
  char line[200];
  std::snprintf(line, sizeof(line), "%d prompt tokens in %.2f s (%.1f tok/s), %d tokens in %.2f s (%.1f tok/s)",
                usage.prompt_tokens, usage.prefill_seconds, per_second(usage.prompt_tokens, usage.prefill_seconds),
                usage.completion_tokens, usage.decode_seconds,
                // The first token comes out of the prompt's last step.
                per_second(usage.completion_tokens - 1, usage.decode_seconds));
  if (usage.drafted_tokens == 0) return line;
  return std::string(line) + ", " + std::to_string(usage.accepted_tokens) + " of " +
         std::to_string(usage.drafted_tokens) + " guesses right";
}

}  // namespace ferrum
