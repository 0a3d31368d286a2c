#include "apps/cli/bench_serve/load.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "apps/cli/bench_serve/answer_reader.h"

namespace ferrum {
namespace {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

LoadRecord record_of(const LoadTurn& turn, const AnswerReader& answer, Clock::time_point begin, Clock::time_point end) {
  LoadRecord record;
  record.prompt_tokens = answer.prompt_tokens().value_or(static_cast<int>(turn.tokens.size()));
  record.completion_tokens = answer.completion_tokens().value_or(0);
  record.e2e = seconds_between(begin, end);
  const auto& times = answer.text_times();
  record.ttft = times.empty() ? record.e2e : seconds_between(begin, times.front());
  for (size_t i = 1; i < times.size(); ++i) record.gaps.push_back(seconds_between(times[i - 1], times[i]));
  if (record.completion_tokens > 1 && times.size() > 1) {
    record.tpot = seconds_between(times.front(), times.back()) / (record.completion_tokens - 1);
  }
  // A server may put a token for the beginning of the text before the ids.
  const int extra = record.prompt_tokens - static_cast<int>(turn.tokens.size());
  const bool wrong_prompt = !turn.tokens.empty() && extra != 0 && extra != 1;
  record.wrong_count = !answer.completion_tokens() || record.completion_tokens != turn.output_tokens || wrong_prompt;
  return record;
}

class Load {
 public:
  Load(const LoadTarget& target, const std::vector<LoadSession>& sessions, const LoadShape& shape, uint64_t seed,
       const std::function<void(size_t)>& on_progress)
      : target_(target), sessions_(sessions), shape_(shape), random_(seed), on_progress_(on_progress), timer_(io_) {}

  LoadResult run() {
    const auto begin = Clock::now();
    next_arrival_ = begin;
    if (shape_.concurrency > 0) {
      for (int i = 0; i < shape_.concurrency; ++i) start_next();
    } else {
      arrive();
    }
    io_.run();
    result_.seconds = seconds_between(begin, Clock::now());
    return std::move(result_);
  }

 private:
  // One session's way through its turns.
  struct Running {
    const LoadSession* session = nullptr;
    size_t turn = 0;
    std::vector<std::pair<std::string, std::string>> history;
    AnswerReader answer;
    Clock::time_point begin;
  };

  void start_next() {
    if (next_ == sessions_.size()) return;
    auto running = std::make_shared<Running>();
    running->session = &sessions_[next_++];
    ++in_flight_;
    ask(running);
  }

  void arrive() {
    if (next_ == sessions_.size()) return;
    if (in_flight_ < kMaxInFlight) {
      start_next();
    } else {
      ++next_;
      keep({.error = "not sent: " + std::to_string(kMaxInFlight) + " requests are in flight"});
    }
    // From the planned time, not from now: a late timer does not thin out the load.
    next_arrival_ +=
        std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(random_.exponential(shape_.rate)));
    timer_.expires_at(next_arrival_);
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) arrive();
    });
  }

  void ask(const std::shared_ptr<Running>& running) {
    const LoadTurn& turn = (*running->session)[running->turn];
    running->answer = {};
    HttpCallOptions call;
    call.target = target_.form == PromptForm::kChat ? "/v1/chat/completions" : "/v1/completions";
    call.body = request_body(target_, turn, running->history);
    call.stall_timeout = target_.stall_timeout;
    call.total_timeout = target_.total_timeout;
    running->begin = Clock::now();
    start_http_call(io_, target_.server, std::move(call),
                    {[running](std::string_view type) { return running->answer.head(type); },
                     [running](std::string_view bytes) { return running->answer.body(bytes, Clock::now()); },
                     [this, running](Status status, int) { on_end(running, std::move(status)); }});
  }

  void on_end(const std::shared_ptr<Running>& running, Status status) {
    const LoadTurn& turn = (*running->session)[running->turn];
    if (status.is_ok()) status = running->answer.end();
    if (status.is_ok()) {
      keep(record_of(turn, running->answer, running->begin, Clock::now()));
      if (++running->turn < running->session->size()) {
        running->history.emplace_back("user", turn.text);
        running->history.emplace_back("assistant", running->answer.text());
        return ask(running);
      }
    } else {
      keep({.error = status.message()});
    }
    --in_flight_;
    if (shape_.concurrency > 0) start_next();
  }

  void keep(LoadRecord record) {
    result_.records.push_back(std::move(record));
    on_progress_(result_.records.size());
  }

  const LoadTarget& target_;
  const std::vector<LoadSession>& sessions_;
  const LoadShape shape_;
  LoadRandom random_;
  const std::function<void(size_t)>& on_progress_;
  asio::io_context io_{1};
  asio::steady_timer timer_;
  Clock::time_point next_arrival_;
  size_t next_ = 0;
  int in_flight_ = 0;
  LoadResult result_;
};

}  // namespace

std::string request_body(const LoadTarget& target, const LoadTurn& turn,
                         const std::vector<std::pair<std::string, std::string>>& history) {
  nlohmann::ordered_json body;
  if (!target.model.empty()) body["model"] = target.model;
  if (target.form == PromptForm::kChat) {
    nlohmann::ordered_json messages = nlohmann::ordered_json::array();
    for (const auto& [role, content] : history) messages.push_back({{"role", role}, {"content", content}});
    messages.push_back({{"role", "user"}, {"content", turn.text}});
    body["messages"] = std::move(messages);
  } else if (target.form == PromptForm::kTokens) {
    body["prompt"] = turn.tokens;
  } else {
    body["prompt"] = turn.text;
  }
  body["max_tokens"] = turn.output_tokens;
  body["temperature"] = 0;
  body["ignore_eos"] = true;
  body["stream"] = true;
  body["stream_options"] = {{"include_usage", true}};
  return body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

LoadResult run_load(const LoadTarget& target, const std::vector<LoadSession>& sessions, const LoadShape& shape,
                    uint64_t seed, const std::function<void(size_t done)>& on_progress) {
  return Load(target, sessions, shape, seed, on_progress).run();
}

}  // namespace ferrum
