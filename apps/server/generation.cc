#include "apps/server/generation.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <utility>

#include "base/check.h"

namespace ferrum {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// What an event holds in memory, roughly.
size_t size_of(const Event& event) {
  size_t bytes = sizeof(TaggedEvent) + event.text.size() + event.tokens.size() * sizeof(TokenId) +
                 event.hidden.size() * sizeof(float);
  for (const auto* list : {&event.logprobs, &event.prompt_logprobs}) {
    for (const PositionLogprobs& position : *list)
      bytes += sizeof(position) + position.top.size() * sizeof(TokenLogprob);
  }
  return bytes;
}

// Runs on the engine's thread for one choice; holds what outlives the HTTP side of it.
class Sink {
 public:
  Sink(Engine& engine, std::shared_ptr<Metrics> metrics, std::shared_ptr<EventQueue> queue, size_t choice)
      : engine_(engine), metrics_(std::move(metrics)), queue_(std::move(queue)), choice_(choice) {}

  void operator()(Event event) {
    const Clock::time_point now = Clock::now();
    if (!event.tokens.empty()) {
      if (last_token_ == Clock::time_point()) {
        metrics_->first_token(seconds_between(arrival_, now));
      } else {
        metrics_->next_token(seconds_between(last_token_, now));
      }
      last_token_ = now;
    }
    if (event.finished) metrics_->finished(event.reason, event.usage, seconds_between(arrival_, now));
    const RequestId request = event.request;
    const bool finished = event.finished;
    if (!queue_->push(choice_, std::move(event)) && !finished) engine_.cancel(request);
  }

 private:
  Engine& engine_;
  std::shared_ptr<Metrics> metrics_;
  std::shared_ptr<EventQueue> queue_;
  size_t choice_;
  Clock::time_point arrival_ = Clock::now();
  Clock::time_point last_token_;
};

int retry_after(const Engine& engine) {
  constexpr double kLongest = 3600;
  return static_cast<int>(std::ceil(std::clamp(engine.retry_after_seconds(), 1.0, kLongest)));
}

ApiError failure_of(const Event& event, const Engine& engine) {
  if (event.reason == FinishReason::kTimeout) {
    return {.status = 504,
            .message = event.error.message(),
            .type = "timeout_error",
            .param = "",
            .code = "deadline_exceeded",
            .retry_after = retry_after(engine)};
  }
  if (event.reason == FinishReason::kError) {
    ApiError error = error_of(event.error, engine);
    if (event.error.code() == StatusCode::kCapacity) error.status = 503;  // it was admitted: not the client's rate
    return error;
  }
  return api_error_from(cancelled("the request was cancelled because the server is shutting down"));
}

std::string sse(const Json& data) {
  std::string frame("data: ");
  frame.append(dump(data)).append("\n\n");
  return frame;
}

}  // namespace

ApiError error_of(const Status& status, const Engine& engine) {
  ApiError error = api_error_from(status);
  if (status.code() == StatusCode::kCapacity) error.retry_after = retry_after(engine);
  return error;
}

bool EventQueue::push(size_t choice, Event event) {
  const std::lock_guard lock(mutex_);
  if (closed_ || overflowed_) return false;
  const size_t bytes = size_of(event);
  const bool was_empty = events_.empty();
  if (!was_empty && bytes_ + bytes > max_bytes_) {
    overflowed_ = true;
    return false;
  }
  bytes_ += bytes;
  events_.push_back({choice, std::move(event)});
  if (was_empty && wake_) wake_();
  return true;
}

std::vector<TaggedEvent> EventQueue::take() {
  const std::lock_guard lock(mutex_);
  bytes_ = 0;
  return std::exchange(events_, {});
}

bool EventQueue::overflowed() const {
  const std::lock_guard lock(mutex_);
  return overflowed_;
}

void EventQueue::set_wake(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
  if (!events_.empty() && wake_) wake_();
}

void EventQueue::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  wake_ = nullptr;
  events_.clear();
}

Generation::Generation(Engine& engine, GenerationSpec spec)
    : engine_(engine),
      spec_(std::move(spec)),
      queue_(std::make_shared<EventQueue>(spec_.stream ? spec_.max_queued_bytes : SIZE_MAX)),
      unfinished_(spec_.prompts.size() * static_cast<size_t>(spec_.n)) {}

Result<std::unique_ptr<Generation>> Generation::start(Engine& engine, std::shared_ptr<Metrics> metrics,
                                                      GenerationSpec spec) {
  FERRUM_CHECK(!spec.prompts.empty() && spec.n >= 1, "a generation has at least one request");
  std::unique_ptr<Generation> generation(new Generation(engine, std::move(spec)));
  size_t choice = 0;
  for (Request& prompt : generation->spec_.prompts) {
    std::vector<EventSink> sinks;
    for (int i = 0; i < generation->spec_.n; ++i) {
      // std::function wants a copyable sink; the state is shared among the copies.
      auto sink = std::make_shared<Sink>(engine, metrics, generation->queue_, choice++);
      sinks.emplace_back([sink](Event event) { (*sink)(std::move(event)); });
    }
    const Result<std::vector<RequestId>> ids = engine.submit(std::move(prompt), std::move(sinks));
    if (!ids.is_ok()) return ids.status();  // the destructor cancels the earlier ones
    generation->ids_.insert(generation->ids_.end(), ids->begin(), ids->end());
  }
  generation->spec_.prompts.clear();
  return generation;
}

Generation::~Generation() {
  queue_->close();
  cancel_all();
}

void Generation::cancel_all() {
  for (RequestId& id : ids_) {
    if (id != 0) engine_.cancel(std::exchange(id, 0));
  }
}

void Generation::account(const TaggedEvent& tagged) {
  if (!tagged.event.finished) return;
  if (tagged.event.reason == FinishReason::kTimeout) timed_out_ = tagged.event;
  ids_[tagged.choice] = 0;
  --unfinished_;
  const Usage& usage = tagged.event.usage;
  usage_.completion_tokens += usage.completion_tokens;
  usage_.drafted_tokens += usage.drafted_tokens;
  usage_.accepted_tokens += usage.accepted_tokens;
  if (tagged.choice % static_cast<size_t>(spec_.n) != 0) return;
  usage_.prompt_tokens += usage.prompt_tokens;
  usage_.cached_tokens += usage.cached_tokens;
}

PendingReply::Poll Generation::fail(const ApiError& error) {
  cancel_all();
  Poll poll;
  poll.done = true;
  if (head_sent_) {
    poll.piece = sse(error.to_json()) + "data: [DONE]\n\n";
    poll.close = true;
  } else {
    poll.head = error_response(error);
  }
  return poll;
}

void Generation::stream_events(std::vector<TaggedEvent> events, Poll& poll) {
  if (!head_sent_) {
    HttpResponse head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers.emplace_back("Cache-Control", "no-cache");
    head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx would hold the stream back
    head.streamed = true;
    poll.head = std::move(head);
    head_sent_ = true;
  }
  for (const TaggedEvent& tagged : events) {
    for (const Json& chunk : spec_.format->chunks(tagged.choice, tagged.event)) poll.piece += sse(chunk);
  }
}

PendingReply::Poll Generation::poll() {
  std::vector<TaggedEvent> events = queue_->take();
  for (const TaggedEvent& tagged : events) {
    account(tagged);
    const FinishReason reason = tagged.event.reason;
    if (tagged.event.finished && (reason == FinishReason::kError || reason == FinishReason::kCancelled)) {
      return fail(failure_of(tagged.event, engine_));
    }
  }
  if (queue_->overflowed()) {
    return fail({.status = 503,
                 .message = "the answer was cancelled: the client reads too slowly",
                 .type = "server_error",
                 .param = "",
                 .code = "slow_reader"});
  }
  Poll poll;
  if (events.empty() && unfinished_ > 0) return poll;
  poll.done = unfinished_ == 0;
  // What was generated in time is an answer, though a short one; nothing at all is an error.
  const bool nothing = usage_.completion_tokens == 0 && !head_sent_;
  if (poll.done && nothing && timed_out_) return fail(failure_of(*timed_out_, engine_));
  if (!spec_.stream) {
    for (const TaggedEvent& tagged : events) spec_.format->add(tagged.choice, tagged.event);
    if (poll.done) poll.head = json_response(200, spec_.format->whole(usage_));
    return poll;
  }
  stream_events(std::move(events), poll);
  if (poll.done) {
    if (spec_.include_usage) poll.piece += sse(spec_.format->usage_chunk(usage_));
    poll.piece += "data: [DONE]\n\n";
  }
  return poll;
}

}  // namespace ferrum
