// One client connection: reads a request, has it answered, writes the answer, repeats. Internal to the HTTP server.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>
#include <string>

#include "apps/server/http_server.h"

namespace ferrum {

// Counts what all connections hold together.
class ByteBudget {
 public:
  explicit ByteBudget(uint64_t limit) : limit_(limit) {}
  bool take(uint64_t bytes);
  void give_back(uint64_t bytes) { used_ -= bytes; }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> used_{0};
};

// What a connection needs from its server; outlives it.
struct ConnectionContext {
  const HttpServerOptions& options;
  HttpHandler& handler;
  ByteBudget& body_budget;
  const std::atomic<bool>& draining;
  boost::asio::io_context::executor_type long_requests;  // takes apart what would hold up an io thread
};

// All members run on the socket's strand, except start, drain and abort, which post to it. Kept alive by its pending
// operations.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  HttpConnection(Socket socket, ConnectionContext context);
  ~HttpConnection();

  void start();
  void start_refusing();  // answers 503 at once and closes: the server is full
  void drain();           // closes now if idle, else after the current answer
  void abort();           // closes now

 private:
  using Error = boost::system::error_code;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // Reading a request.
  void wait_for_request();
  void read_head();
  void on_head(Error error);
  void on_bad_request(Error error);
  bool reserve_body();
  bool skip_body();
  void answer_continue();
  void read_body();
  void on_body(Error error);
  void on_reply(Reply reply);

  // Of more than long_body_bytes, which a thread of its own takes apart when its turn comes.
  struct LongRequest {
    HttpRequest request;
    std::shared_ptr<HttpConnection> connection;
    // Whoever sets it first owns the two above: that thread, or the connection, which drops them.
    std::atomic<bool> claimed{false};
  };
  void queue_long_request();
  static void take_apart(LongRequest& work);
  void drop_long_request();

  // Answering it.
  void answer(Reply reply);
  void answer_and_close(HttpResponse response);
  void poll_reply();
  void write_head(HttpResponse& response);
  void write_piece(const std::string& piece, bool last);
  void flush();
  void on_written(Error error, size_t bytes);
  void finish_answer();

  // While an answer is awaited nothing is read for the protocol, but the client's going away must be seen.
  void watch_client();
  void on_client_readable(Error error, uint64_t watch);
  void stop_watching();

  // Time-outs and the end.
  void set_deadline(std::chrono::milliseconds time);
  void clear_deadline();
  void wait_for_deadline();
  void linger();
  void read_and_discard();
  void close();

  Socket socket_;
  boost::asio::steady_timer deadline_;
  const ConnectionContext context_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;  // beast's parsers serve one request

  HttpRequest request_;
  bool keep_alive_ = false;  // of the request being answered
  bool last_ = false;        // it is there to its end, and the client has said that nothing follows
  bool http_1_1_ = true;
  bool head_only_ = false;      // HEAD
  uint64_t reserved_body_ = 0;  // bytes taken from the budget
  uint64_t unwanted_ = 0;       // bytes of a refused request's body that come before the next request

  std::shared_ptr<LongRequest> long_request_;  // until it has a reply
  std::unique_ptr<PendingReply> reply_;
  bool chunked_ = false;
  bool reply_done_ = false;  // nothing will be appended to out_ for this request
  bool writing_ = false;
  std::string out_;     // being written
  size_t written_ = 0;  // bytes of out_ the socket has taken
  int64_t answered_bytes_ = 0;
  int status_ = 0;
  std::chrono::steady_clock::time_point began_;

  // A deadline is moved many times for each time that it passes, so the timer is not moved with it: it rings when it
  // was set to, and is set again if that was too early.
  std::chrono::steady_clock::time_point deadline_at_, rings_at_;
  bool timed_out_ = false;
  uint64_t watch_id_ = 0;
  bool idle_ = false;  // between requests
  bool closed_ = false;
  size_t discarded_ = 0;  // bytes read while lingering
};

}  // namespace ferrum
