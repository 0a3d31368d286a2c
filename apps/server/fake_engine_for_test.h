// An engine without a model, for the server's tests: tokens are bytes, answers are the alphabet, and the test decides
// how fast they come and what goes wrong.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "engine/engine.h"

namespace ferrum {

// Ids 0..255 are bytes; 256 is <s>, 257 is </s>.
class ByteTokenizer : public Tokenizer {
 public:
  static constexpr TokenId kBos = 256, kEos = 257;
  Result<std::vector<TokenId>> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<TokenId> ids;
    if (options.add_special) ids.push_back(kBos);
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string piece(TokenId token, bool with_special) const override {
    if (token < 256) return std::string(1, static_cast<char>(token));
    return with_special ? (token == kBos ? "<s>" : "</s>") : "";
  }
  std::string decode(std::span<const TokenId> tokens, bool with_special) const override {
    std::string text;
    for (const TokenId token : tokens) text += piece(token, with_special);
    return text;
  }
  int vocab_size() const override { return 258; }
  bool is_special(TokenId token) const override { return token >= 256; }
  bool is_end(TokenId token) const override { return token == kEos; }
  std::optional<TokenId> bos() const override { return kBos; }
  std::optional<TokenId> eos() const override { return kEos; }
  bool adds_bos() const override { return true; }
  std::optional<TokenId> find(std::string_view) const override { return std::nullopt; }
};

// "role=content;" for every message.
class PlainTemplate : public ChatTemplate {
 public:
  Result<std::string> render(const nlohmann::ordered_json& messages, const nlohmann::ordered_json& tools,
                             bool add_generation_prompt, const nlohmann::ordered_json& variables) const override {
    if (variables.contains("fail")) return invalid_argument("the template says: " + variables["fail"].dump());
    std::string text = tools.is_null() ? "" : "tools=" + tools.dump() + ";";
    for (const auto& message : messages) {
      text += message["role"].get<std::string>() + "=" + message["content"].dump() + ";";
    }
    return text + (add_generation_prompt ? "assistant=" : "");
  }
  const std::string& source() const override { return name_; }
  const std::string& source_name() const override { return name_; }

 private:
  std::string name_ = "plain";
};

class FakeEngine : public Engine {
 public:
  struct Behaviour {
    std::chrono::microseconds token_time{0};
    int answer_tokens = 10;     // then it ends with "stop", unless max_tokens ends it before
    int fail_at = -1;           // kError instead of this token
    int max_requests = 1000;    // more at once are refused with kCapacity
    size_t text_per_token = 1;  // bytes of text each token stands for
    double retry_after_seconds = 0;
    int time_out_at = -1;  // kTimeout instead of this token
    QueuePolicy queue_policy = QueuePolicy::kPriority;
  };
  explicit FakeEngine(Behaviour behaviour) : behaviour_(behaviour), thread_([this] { run(); }) {
    options_.max_model_len = 4096;
    model_.hidden_size = 4;
    options_.queue_policy = behaviour.queue_policy;
    stats_.kv_blocks_total = 100;
  }
  FakeEngine() : FakeEngine(Behaviour()) {}
  ~FakeEngine() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

  Result<std::vector<RequestId>> submit(Request request, std::vector<EventSink> choices) override {
    const std::lock_guard lock(mutex_);
    if (active_.size() + choices.size() > static_cast<size_t>(behaviour_.max_requests)) {
      return capacity_exceeded("the queue is full");
    }
    submitted_.push_back(request);
    std::vector<RequestId> ids;
    for (EventSink& sink : choices) {
      ids.push_back(++last_id_);
      active_[last_id_] = {request, std::move(sink), 0, false};
      if (request.sampling.seed) ++*request.sampling.seed;
    }
    wake_.notify_all();
    return ids;
  }
  Status check_room() const override {
    const std::lock_guard lock(mutex_);
    const bool full = active_.size() >= static_cast<size_t>(behaviour_.max_requests);
    return full ? capacity_exceeded("the queue is full") : Status::ok();
  }
  double retry_after_seconds() const override { return behaviour_.retry_after_seconds; }
  void cancel(RequestId id) override {
    const std::lock_guard lock(cancel_mutex_);
    cancelled_.push_back(id);
  }
  void start() override {}
  void drain() override {}
  Result<bool> step() override { return false; }
  const EngineOptions& options() const override { return options_; }
  const ModelSpec& model() const override { return model_; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  std::shared_ptr<const ChatTemplate> chat_template() const override { return template_; }
  std::string describe() const override { return "fake"; }
  EngineStats stats() const override {
    const std::lock_guard lock(mutex_);
    EngineStats stats = stats_;
    stats.running = static_cast<int>(active_.size());
    return stats;
  }

  // What tests look at.
  std::vector<Request> submitted() const {
    const std::lock_guard lock(mutex_);
    return submitted_;
  }
  int finished() const { return finished_; }
  int cancelled_count() const { return cancelled_count_; }
  int running() const { return stats().running; }
  uint64_t generated() const { return generated_; }

 private:
  struct Active {
    Request request;
    EventSink sink;
    int produced = 0;
    bool cancelled = false;
  };

  void run() {
    std::unique_lock lock(mutex_);
    while (!stop_) {
      if (active_.empty()) {
        wake_.wait(lock);
        continue;
      }
      step_all(lock);
      lock.unlock();
      if (behaviour_.token_time.count() > 0) std::this_thread::sleep_for(behaviour_.token_time);
      lock.lock();
    }
    for (auto& [id, active] : active_) finish(id, active, FinishReason::kCancelled, {});
  }

  void step_all(std::unique_lock<std::mutex>& lock) {
    {
      const std::lock_guard cancel_lock(cancel_mutex_);
      for (const RequestId id : cancelled_) {
        if (const auto found = active_.find(id); found != active_.end()) found->second.cancelled = true;
      }
      cancelled_.clear();
    }
    std::vector<RequestId> ids;
    for (const auto& [id, active] : active_) ids.push_back(id);
    for (const RequestId id : ids) {
      Active active = std::move(active_[id]);
      lock.unlock();  // sinks may cancel, and tests may look
      const bool finished = advance(id, active);
      lock.lock();
      if (finished) {
        active_.erase(id);
      } else {
        active_[id] = std::move(active);
      }
    }
  }

  bool advance(RequestId id, Active& active) {
    if (active.cancelled) return finish(id, active, FinishReason::kCancelled, {});
    if (active.produced == behaviour_.fail_at) {
      return finish(id, active, FinishReason::kError, internal_error("the fake engine fails as told"));
    }
    if (active.produced == behaviour_.time_out_at) {
      return finish(id, active, FinishReason::kTimeout, cancelled("the fake engine's time is up"));
    }
    Event event;
    event.request = id;
    const SamplingParams& sampling = active.request.sampling;
    if (active.produced == 0 && active.request.prompt_logprobs) {
      for (size_t i = 1; i < active.request.prompt.size(); ++i) {
        event.prompt_logprobs.push_back(logprobs_of(active.request.prompt[i], sampling.logprobs));
      }
    }
    if (active.produced == 0 && active.request.hidden == HiddenStates::kPostNorm) {
      const bool last = active.request.hidden_of == HiddenPositions::kLast;
      event.hidden = last ? std::vector<float>{3, 4, 0, 0} : std::vector<float>{0, 0, 6, 8};
    }
    const int max_tokens = active.request.stop.max_tokens;
    const int limit = max_tokens < 0 ? behaviour_.answer_tokens : std::min(max_tokens, behaviour_.answer_tokens);
    if (active.produced < limit) {
      const auto shift = static_cast<int>(sampling.seed.value_or(0) % 26);
      const TokenId token = 'a' + (active.produced + shift) % 26;
      event.tokens.push_back(token);
      event.text = std::string(behaviour_.text_per_token, static_cast<char>(token));
      if (sampling.logprobs >= 0) event.logprobs.push_back(logprobs_of(token, sampling.logprobs));
      ++active.produced;
      ++generated_;
    }
    if (active.produced < limit) {
      active.sink(std::move(event));
      return false;
    }
    event.finished = true;
    event.reason = limit == max_tokens ? FinishReason::kLength : FinishReason::kStop;
    event.usage = usage_of(active);
    ++finished_;
    active.sink(std::move(event));
    return true;
  }

  bool finish(RequestId id, Active& active, FinishReason reason, Status error) {
    Event event;
    event.request = id;
    event.finished = true;
    event.reason = reason;
    event.error = std::move(error);
    event.usage = usage_of(active);
    if (reason == FinishReason::kCancelled) ++cancelled_count_;
    active.sink(std::move(event));
    return true;
  }

  static PositionLogprobs logprobs_of(TokenId token, int alternatives) {
    PositionLogprobs position{{token, -0.5f}, {}};
    for (int i = 0; i < alternatives; ++i) {
      position.top.push_back({(token + i) % 256, i == 0 ? -0.5f : -1.0f - static_cast<float>(i)});
    }
    return position;
  }

  static Usage usage_of(const Active& active) {
    Usage usage;
    usage.prompt_tokens = static_cast<int>(active.request.prompt.size());
    usage.completion_tokens = active.produced;
    return usage;
  }

  const Behaviour behaviour_;
  EngineOptions options_;
  ModelSpec model_;
  std::shared_ptr<const Tokenizer> tokenizer_ = std::make_shared<ByteTokenizer>();
  std::shared_ptr<const ChatTemplate> template_ = std::make_shared<PlainTemplate>();
  std::atomic<int> finished_{0}, cancelled_count_{0};
  std::atomic<uint64_t> generated_{0};

  std::mutex cancel_mutex_;  // protects cancelled_; never held together with a sink's call
  std::vector<RequestId> cancelled_;
  mutable std::mutex mutex_;  // protects everything below
  std::condition_variable wake_;
  bool stop_ = false;
  RequestId last_id_ = 0;
  std::map<RequestId, Active> active_;
  std::vector<Request> submitted_;
  EngineStats stats_;
  std::thread thread_;  // last: it uses all the above
};

}  // namespace ferrum
