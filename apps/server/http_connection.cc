#include "apps/server/http_connection.h"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <cstdio>
#include <ctime>
#include <limits>

#include "base/quote.h"

namespace ferrum {
namespace asio = boost::asio;
namespace http = boost::beast::http;

namespace {

constexpr size_t kReadBytes = 8 << 10;
constexpr size_t kWriteBytes = 64 << 10;    // per write_timeout
constexpr size_t kMaxPipelined = 64 << 10;  // read ahead while an answer is pending
constexpr uint64_t kMaxSkipped = 64 << 10;  // a longer body of a refused request ends the connection
constexpr size_t kMaxDiscarded = 1 << 20;   // of an unwanted body before the connection is cut
constexpr auto kLinger = std::chrono::milliseconds(2000);
constexpr auto kNoDeadline = std::chrono::steady_clock::time_point::max();

std::string text_of(boost::beast::string_view view) { return {view.data(), view.size()}; }

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The path of a request target without its query, percent-decoded (RFC 3986).
std::string path_of(std::string_view target) {
  target = target.substr(0, target.find('?'));
  std::string path;
  for (size_t i = 0; i < target.size(); ++i) {
    const bool escape = target[i] == '%' && i + 2 < target.size();
    const int high = escape ? hex_digit(target[i + 1]) : -1;
    const int low = escape ? hex_digit(target[i + 2]) : -1;
    if (high >= 0 && low >= 0) {
      path += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      path += target[i];
    }
  }
  return path;
}

// RFC 9110 IMF-fixdate.
std::string http_date() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[40];
  std::strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc);
  return text;
}

HttpRequest head_of(const http::request<http::string_body>& message) {
  HttpRequest request;
  request.method = text_of(message.method_string());
  request.path = path_of(text_of(message.target()));
  request.host = text_of(message[http::field::host]);
  request.origin = text_of(message[http::field::origin]);
  request.authorization = text_of(message[http::field::authorization]);
  request.wanted_headers = text_of(message[http::field::access_control_request_headers]);
  return request;
}

HttpResponse failure(int status, std::string message, std::string code = "") {
  ApiError error;
  error.status = status;
  error.message = std::move(message);
  error.code = std::move(code);
  if (status >= 500) error.type = "server_error";
  return error_response(error);
}

}  // namespace

bool ByteBudget::take(uint64_t bytes) {
  uint64_t used = used_.load();
  do {
    if (bytes > limit_ || used > limit_ - bytes) return false;
  } while (!used_.compare_exchange_weak(used, used + bytes));
  return true;
}

HttpConnection::HttpConnection(Socket socket, ConnectionContext context)
    : socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      context_(context),
      buffer_(context.options.max_header_bytes + kMaxPipelined + kReadBytes),
      deadline_at_(kNoDeadline),
      rings_at_(kNoDeadline) {
  Error ignored;
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);  // tokens are small and must not wait for each other
}

HttpConnection::~HttpConnection() { context_.body_budget.give_back(reserved_body_); }

void HttpConnection::start() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->wait_for_request(); });
}

void HttpConnection::start_refusing() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    HttpResponse response = failure(503, "the server has as many connections as it may have; try again", "overloaded");
    response.headers.emplace_back("Retry-After", "1");
    self->answer_and_close(std::move(response));
  });
}

void HttpConnection::drain() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    if (self->idle_) self->close();  // else the answer's end sees `draining`
  });
}

void HttpConnection::abort() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] { self->close(); });
}

// --- reading a request ---

void HttpConnection::wait_for_request() {
  if (context_.draining) return close();
  parser_.emplace();
  parser_->header_limit(context_.options.max_header_bytes);
  parser_->body_limit(context_.options.max_body_bytes);
  const uint64_t skipped = std::min<uint64_t>(unwanted_, buffer_.size());
  buffer_.consume(skipped);
  unwanted_ -= skipped;
  if (buffer_.size() > 0) return read_head();  // a pipelined request is already here
  idle_ = true;
  set_deadline(context_.options.idle_timeout);
  socket_.async_read_some(buffer_.prepare(kReadBytes), [self = shared_from_this()](Error error, size_t bytes) {
    self->idle_ = false;
    if (error || self->closed_) return self->close();
    self->buffer_.commit(bytes);
    self->unwanted_ > 0 ? self->wait_for_request() : self->read_head();
  });
}

void HttpConnection::read_head() {
  set_deadline(context_.options.header_timeout);
  http::async_read_header(socket_, buffer_, *parser_,
                          [self = shared_from_this()](Error error, size_t) { self->on_head(error); });
}

void HttpConnection::on_bad_request(Error error) {
  if (closed_) return;
  const HttpServerOptions& limits = context_.options;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return answer_and_close(
        failure(431, "the request's headers are longer than " + std::to_string(limits.max_header_bytes) + " bytes"));
  }
  if (error == http::error::body_limit) {
    return answer_and_close(failure(
        413, "the request's body is longer than " + std::to_string(limits.max_body_bytes) + " bytes; shorten it"));
  }
  if (timed_out_) return answer_and_close(failure(408, "the request did not arrive in time"));
  if (error.category() == http::make_error_code(http::error::bad_method).category() &&
      error != http::error::end_of_stream && error != http::error::partial_message) {
    return answer_and_close(failure(400, "this is not a valid HTTP request: " + error.message()));
  }
  close();  // the client went away
}

void HttpConnection::on_head(Error error) {
  if (error) return on_bad_request(error);
  began_ = std::chrono::steady_clock::now();
  const auto& message = parser_->get();
  http_1_1_ = message.version() >= 11;
  keep_alive_ = message.keep_alive();
  last_ = false;
  head_only_ = message.method() == http::verb::head;
  request_ = head_of(message);
  if (http_1_1_ && message.count(http::field::host) != 1) {
    return answer_and_close(failure(400, "the request needs exactly one Host header"));
  }
  if (auto refusal = context_.handler.refuse(request_)) {
    if (!skip_body()) keep_alive_ = false;
    return answer(std::move(*refusal));
  }
  if (!reserve_body()) {
    return answer_and_close(failure(503, "too many large requests are arriving at once; try again", "overloaded"));
  }
  const std::string expectation = text_of(message[http::field::expect]);
  if (expectation.empty() || !http_1_1_) return read_body();
  if (!boost::beast::iequals(expectation, "100-continue")) {
    return answer_and_close(failure(417, "the only expectation this server meets is 100-continue"));
  }
  answer_continue();
}

// A refused request's body must not be taken for the next request. What of it is here goes at once, what is on its way
// while the answer is. A client that asked whether to send it may now keep it for itself.
bool HttpConnection::skip_body() {
  const uint64_t length = parser_->content_length().value_or(0);
  const bool known = !parser_->chunked() && length <= kMaxSkipped;
  const uint64_t here = std::min<uint64_t>(known ? length : 0, buffer_.size());
  buffer_.consume(here);
  unwanted_ = known ? length - here : 0;
  last_ = known && unwanted_ == 0 && !keep_alive_;
  return known && (unwanted_ == 0 || parser_->get().count(http::field::expect) == 0);
}

bool HttpConnection::reserve_body() {
  const auto length = parser_->content_length();
  const uint64_t bytes = parser_->chunked() ? context_.options.max_body_bytes : length.value_or(0);
  if (!context_.body_budget.take(bytes)) return false;
  reserved_body_ = bytes;
  return true;
}

void HttpConnection::answer_continue() {
  static constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";
  asio::async_write(socket_, asio::buffer(kContinue, sizeof(kContinue) - 1),
                    [self = shared_from_this()](Error error, size_t) {
                      if (error) return self->close();
                      self->read_body();
                    });
}

void HttpConnection::read_body() {
  set_deadline(context_.options.body_timeout);
  http::async_read(socket_, buffer_, *parser_,
                   [self = shared_from_this()](Error error, size_t) { self->on_body(error); });
}

void HttpConnection::on_body(Error error) {
  if (error) return on_bad_request(error);
  if (closed_) return;
  last_ = !keep_alive_;
  clear_deadline();
  request_.body = std::move(parser_->get().body());
  // A chunked body reserved the most it could have been.
  context_.body_budget.give_back(reserved_body_ - request_.body.size());
  reserved_body_ = request_.body.size();
  if (request_.body.size() <= context_.options.long_body_bytes) return on_reply(context_.handler.handle(request_));
  queue_long_request();
}

void HttpConnection::queue_long_request() {
  long_request_ = std::make_shared<LongRequest>();
  std::string body = std::move(request_.body);
  long_request_->request = request_;
  long_request_->request.body = std::move(body);
  long_request_->connection = shared_from_this();
  // The guard keeps the io threads until the reply is theirs.
  asio::post(context_.long_requests, [work = long_request_, guard = asio::make_work_guard(socket_.get_executor())] {
    if (!work->claimed.exchange(true)) take_apart(*work);
  });
  watch_client();
}

// On the thread for long requests.
void HttpConnection::take_apart(LongRequest& work) {
  const std::shared_ptr<HttpConnection> self = std::move(work.connection);
  HttpHandler& handler = self->context_.handler;
  // What had room when its body began may have waited here for long.
  auto refused = handler.refuse(work.request);
  auto reply = std::make_shared<Reply>(refused ? Reply(std::move(*refused)) : handler.handle(work.request));
  asio::post(self->socket_.get_executor(), [self, reply] { self->on_reply(std::move(*reply)); });
}

// Its place in the queue remains, and holds nothing.
void HttpConnection::drop_long_request() {
  const std::shared_ptr<LongRequest> work = std::move(long_request_);
  if (work == nullptr || work->claimed.exchange(true)) return;
  work->request = {};
  work->connection.reset();
}

void HttpConnection::on_reply(Reply reply) {
  if (closed_) return;
  std::string().swap(request_.body);  // not needed while the answer is made
  if (long_request_ != nullptr) {
    long_request_.reset();
    stop_watching();
  }
  context_.body_budget.give_back(std::exchange(reserved_body_, 0));
  answer(std::move(reply));
}

// --- answering it ---

void HttpConnection::answer(Reply reply) {
  if (auto* pending = std::get_if<std::unique_ptr<PendingReply>>(&reply)) {
    reply_ = std::move(*pending);
    reply_done_ = false;
    clear_deadline();
    watch_client();
    std::weak_ptr<HttpConnection> weak = weak_from_this();
    // Called on the engine's thread: post only. The executor is copied, since the socket is not ours there.
    reply_->set_wake([weak, executor = socket_.get_executor()] {
      asio::post(executor, [weak] {
        if (const auto self = weak.lock()) self->poll_reply();
      });
    });
    return poll_reply();
  }
  HttpResponse& response = std::get<HttpResponse>(reply);
  write_head(response);
  if (!head_only_) out_ += response.body;
  reply_done_ = true;
  flush();
}

void HttpConnection::answer_and_close(HttpResponse response) {
  keep_alive_ = false;
  head_only_ = false;
  answer(std::move(response));
}

void HttpConnection::poll_reply() {
  // One piece at a time: while the client has not taken the last one, events wait in the reply's bounded queue.
  if (closed_ || reply_ == nullptr || writing_) return;
  PendingReply::Poll poll = reply_->poll();
  if (poll.done && poll.close) keep_alive_ = false;
  if (poll.head) {
    write_head(*poll.head);
    if (!poll.head->streamed) out_ += poll.head->body;
  }
  if (chunked_ || !poll.piece.empty()) write_piece(poll.piece, poll.done);
  reply_done_ = poll.done;
  if (poll.done) {
    reply_.reset();
    stop_watching();
  }
  if (!out_.empty() || reply_done_) return flush();
  if (poll.more) poll_reply();
}

void HttpConnection::write_head(HttpResponse& response) {
  status_ = response.status;
  if (context_.draining) keep_alive_ = false;
  chunked_ = response.streamed && http_1_1_;
  if (response.streamed && !http_1_1_) keep_alive_ = false;  // only the end of the connection ends the body
  if (response.status != 204 && !response.content_type.empty()) {
    response.headers.emplace_back("Content-Type", response.content_type);
  }
  context_.handler.decorate(request_, response);
  out_ += "HTTP/1.1 " + std::to_string(response.status) + " " + reason_phrase(response.status) + "\r\n";
  for (const auto& [name, value] : response.headers) out_.append(name).append(": ").append(value).append("\r\n");
  if (chunked_) {
    out_ += "Transfer-Encoding: chunked\r\n";
  } else if (!response.streamed && response.status != 204) {
    out_ += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  }
  out_ += "Date: " + http_date() + "\r\nConnection: " + (keep_alive_ ? "keep-alive" : "close") + "\r\n\r\n";
}

void HttpConnection::write_piece(const std::string& piece, bool last) {
  if (!chunked_) {
    out_ += piece;
    return;
  }
  if (!piece.empty()) {
    char size[24];
    std::snprintf(size, sizeof(size), "%zx\r\n", piece.size());
    out_.append(size).append(piece).append("\r\n");
  }
  if (last) out_ += "0\r\n\r\n";
}

void HttpConnection::flush() {
  if (closed_ || writing_) return;
  if (written_ == out_.size()) {
    answered_bytes_ += static_cast<int64_t>(out_.size());
    out_.clear();
    written_ = 0;
    if (reply_done_) return finish_answer();
    clear_deadline();
    return poll_reply();
  }
  writing_ = true;
  set_deadline(context_.options.write_timeout);
  const size_t bytes = std::min(kWriteBytes, out_.size() - written_);
  asio::async_write(socket_, asio::buffer(out_.data() + written_, bytes),
                    [self = shared_from_this()](Error error, size_t count) { self->on_written(error, count); });
}

void HttpConnection::on_written(Error error, size_t bytes) {
  writing_ = false;
  if (error || closed_) return close();
  written_ += bytes;
  flush();
}

void HttpConnection::finish_answer() {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - began_;
  if (!request_.method.empty()) {
    // Probes and scrapes come every second; requests for work are what a log is for.
    const auto level = request_.method == "POST" || status_ >= 400 ? spdlog::level::info : spdlog::level::debug;
    spdlog::log(level, "{} {} {} {} bytes {:.3f} s", printable(request_.method), printable(request_.path), status_,
                answered_bytes_, elapsed.count());
  }
  answered_bytes_ = 0;
  reply_done_ = false;
  chunked_ = false;
  request_ = {};
  context_.body_budget.give_back(std::exchange(reserved_body_, 0));
  if (keep_alive_) return wait_for_request();
  Error ignored;
  if (last_ && buffer_.size() == 0 && socket_.available(ignored) == 0) return close();
  linger();
}

// --- noticing that the client has gone ---

void HttpConnection::watch_client() {
  const uint64_t watch = ++watch_id_;
  socket_.async_wait(Socket::wait_read,
                     [self = shared_from_this(), watch](Error error) { self->on_client_readable(error, watch); });
}

void HttpConnection::on_client_readable(Error error, uint64_t watch) {
  if (closed_ || watch != watch_id_) return;
  if (error) return close();
  // Readable means bytes of a next request, or the end.
  Error failed;
  socket_.non_blocking(true, failed);
  const size_t bytes = failed ? 0 : socket_.read_some(buffer_.prepare(kReadBytes), failed);
  if (failed && failed != asio::error::would_block) return close();
  buffer_.commit(bytes);
  // A client that sends ever more while it waits is not watched further: it will be noticed when writing fails.
  if (buffer_.size() < kMaxPipelined) watch_client();
}

void HttpConnection::stop_watching() {
  ++watch_id_;
  // Nothing else is outstanding on the socket at this point, except a write that has completed.
  Error ignored;
  if (!writing_ && !closed_) socket_.cancel(ignored);
}

// --- time-outs and the end ---

void HttpConnection::set_deadline(std::chrono::milliseconds time) {
  timed_out_ = false;
  deadline_at_ = std::chrono::steady_clock::now() + time;
  if (deadline_at_ < rings_at_) wait_for_deadline();
}

void HttpConnection::clear_deadline() { deadline_at_ = kNoDeadline; }

void HttpConnection::wait_for_deadline() {
  // No later than the next deadline may be: then that will not have to move the timer.
  rings_at_ = std::min(deadline_at_, std::chrono::steady_clock::now() + context_.options.header_timeout);
  deadline_.expires_at(rings_at_);
  deadline_.async_wait([weak = weak_from_this()](Error error) {
    const auto self = weak.lock();
    if (error || !self || self->closed_) return;
    self->rings_at_ = kNoDeadline;
    if (self->deadline_at_ == kNoDeadline) return;
    if (std::chrono::steady_clock::now() < self->deadline_at_) return self->wait_for_deadline();
    self->clear_deadline();
    self->timed_out_ = true;
    Error ignored;
    self->socket_.cancel(ignored);  // the operation in progress ends with operation_aborted
  });
}

// Closing a socket with unread input resets the connection, and the client may lose the answer. So: say that nothing
// more comes, and read what the client still sends for a moment.
void HttpConnection::linger() {
  Error failed;
  socket_.shutdown(Socket::shutdown_send, failed);
  if (failed) return close();
  buffer_.consume(buffer_.size());
  set_deadline(kLinger);
  read_and_discard();
}

void HttpConnection::read_and_discard() {
  socket_.async_read_some(buffer_.prepare(kReadBytes), [self = shared_from_this()](Error error, size_t bytes) {
    self->discarded_ += bytes;
    if (error || self->closed_ || self->discarded_ > kMaxDiscarded) return self->close();
    self->read_and_discard();
  });
}

void HttpConnection::close() {
  if (closed_) return;
  closed_ = true;
  if (reply_ != nullptr || long_request_ != nullptr)
    spdlog::info("{} {} abandoned: the client went away", request_.method, printable(request_.path));
  reply_.reset();  // cancels the work behind it
  drop_long_request();
  deadline_.cancel();
  Error ignored;
  socket_.close(ignored);
}

}  // namespace ferrum
