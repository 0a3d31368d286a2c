// One HTTP answer made by one or several engine requests (n choices of each prompt).
//
// Engine thread -> EventQueue -> connection. The queue is the only thing both sides touch: it never blocks the engine,
// and a reader that falls behind by more than its bound loses the request instead of growing it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "apps/server/api_response.h"
#include "apps/server/http_types.h"
#include "apps/server/metrics.h"
#include "engine/engine.h"

namespace ferrum {

struct TaggedEvent {
  size_t choice = 0;
  Event event;
};

class EventQueue {
 public:
  explicit EventQueue(size_t max_bytes) : max_bytes_(max_bytes) {}

  // False when the reader is too far behind (or gone): the caller should cancel. A single event is always taken into an
  // empty queue, whatever its size.
  bool push(size_t choice, Event event);
  // Everything queued, oldest first.
  std::vector<TaggedEvent> take();
  bool overflowed() const;

  // wake is called under the queue's lock whenever the queue turns from empty to not empty (and at once if it is not
  // empty now), so it must only post.
  void set_wake(std::function<void()> wake);
  void close();  // no wake is called after this returns

 private:
  const size_t max_bytes_;
  mutable std::mutex mutex_;  // protects everything below
  std::vector<TaggedEvent> events_;
  size_t bytes_ = 0;
  bool overflowed_ = false;
  bool closed_ = false;
  std::function<void()> wake_;
};

struct GenerationSpec {
  std::vector<Request> prompts;
  int n = 1;  // choices of each; choice i of all is i % n of prompt i / n
  bool stream = false;
  bool include_usage = false;
  std::unique_ptr<ResponseFormat> format;
  size_t max_queued_bytes = 1 << 20;  // of a stream; an answer that is sent whole is bounded by its request
};

// What a request that the engine did not take, or did not finish, is answered; with the time after which there may be
// room again, where it is a matter of time.
ApiError error_of(const Status& status, const Engine& engine);

class Generation : public PendingReply {
 public:
  // Submits all prompts, or none (the ones already in are cancelled). The engine must outlive the generation; its
  // last events may come later than that, and find queue and metrics still there.
  static Result<std::unique_ptr<Generation>> start(Engine& engine, std::shared_ptr<Metrics> metrics,
                                                   GenerationSpec spec);
  ~Generation() override;  // cancels what is still running

  void set_wake(std::function<void()> wake) override { queue_->set_wake(std::move(wake)); }
  Poll poll() override;

 private:
  Generation(Engine& engine, GenerationSpec spec);
  void account(const TaggedEvent& tagged);
  void cancel_all();
  Poll fail(const ApiError& error);
  void stream_events(std::vector<TaggedEvent> events, Poll& poll);

  Engine& engine_;
  GenerationSpec spec_;
  std::shared_ptr<EventQueue> queue_;  // shared with the sinks, which may outlive this object
  std::vector<RequestId> ids_;         // running; 0 once finished
  size_t unfinished_ = 0;
  bool head_sent_ = false;
  UsageTotals usage_;
  std::optional<Event> timed_out_;  // the last event of a choice that ran out of time
};

}  // namespace ferrum
