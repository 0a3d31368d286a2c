#include "apps/cli/bench_serve/http_call.h"

#include <algorithm>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

namespace ferrum {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Clock = std::chrono::steady_clock;

constexpr size_t kMaxErrorBody = 64 << 10;
constexpr size_t kMaxAnswer = size_t{256} << 20;

std::string seconds_text(std::chrono::milliseconds time) {
  const auto ms = time.count();
  return ms % 1000 == 0 ? std::to_string(ms / 1000) + " s" : std::to_string(ms) + " ms";
}

// OpenAI's error object where there is one, else the beginning of the body.
std::string error_text(const std::string& body) {
  const nlohmann::json json = nlohmann::json::parse(body, nullptr, false);
  if (json.is_object() && json.contains("error")) {
    const nlohmann::json& error = json["error"];
    if (error.is_object() && error.contains("message") && error["message"].is_string()) return error["message"];
    if (error.is_string()) return error;
  }
  std::string text = body.substr(0, 200);
  for (char& c : text) c = static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  return text.empty() ? "(no body)" : text;
}

class HttpCall : public std::enable_shared_from_this<HttpCall> {
 public:
  HttpCall(asio::io_context& io, const ServerAddress& server, HttpCallOptions options, HttpCallHandlers handlers)
      : server_(server), options_(std::move(options)), handlers_(std::move(handlers)), stream_(io) {
    // The server's answer has no length that we would have to hold: pieces are taken out as they come.
    parser_.body_limit(std::numeric_limits<uint64_t>::max());
    parser_.header_limit(64 << 10);
    parser_.eager(true);
  }

  void start() {
    deadline_ = Clock::now() + options_.total_timeout;
    wait_at_most(options_.connect_timeout);
    stream_.async_connect(server_.endpoints,
                          [self = shared_from_this()](beast::error_code error, const asio::ip::tcp::endpoint&) {
                            self->on_connect(error);
                          });
  }

 private:
  void wait_at_most(std::chrono::milliseconds time) {
    phase_timeout_ = time;
    stream_.expires_at(std::min(deadline_, Clock::now() + time));
  }

  void on_connect(beast::error_code error) {
    if (error) return fail(error, "cannot connect");
    beast::error_code ignored;
    stream_.socket().set_option(asio::ip::tcp::no_delay(true), ignored);
    request_.version(11);
    request_.method(options_.body.empty() ? http::verb::get : http::verb::post);
    request_.target(server_.prefix + options_.target);
    const bool v6 = server_.host.find(':') != std::string::npos;
    request_.set(http::field::host, (v6 ? "[" + server_.host + "]" : server_.host) + ":" + server_.port);
    request_.set(http::field::user_agent, "ferrum-bench-serve");
    request_.set(http::field::connection, "close");
    if (!server_.api_key.empty()) request_.set(http::field::authorization, "Bearer " + server_.api_key);
    if (!options_.body.empty()) {
      request_.set(http::field::content_type, "application/json");
      request_.body() = std::move(options_.body);
    }
    request_.prepare_payload();
    wait_at_most(options_.stall_timeout);
    http::async_write(stream_, request_, [self = shared_from_this()](beast::error_code failed, size_t) {
      // A server that refuses early closes its reading half: what it says is worth reading.
      if (failed && failed != asio::error::broken_pipe && failed != asio::error::connection_reset) {
        return self->fail(failed, "cannot send the request");
      }
      self->read_head();
    });
  }

  void read_head() {
    wait_at_most(options_.stall_timeout);
    http::async_read_header(stream_, buffer_, parser_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error) return self->fail(error, "no answer");
      self->on_head();
    });
  }

  void on_head() {
    http_status_ = static_cast<int>(parser_.get().result_int());
    if (http_status_ == 200) {
      const auto type = parser_.get()[http::field::content_type];
      const Status status = handlers_.on_head({type.data(), type.size()});
      if (!status.is_ok()) return finish(status);
    }
    take_body();
  }

  // What has been parsed so far, then the next piece.
  void take_body() {
    const std::string bytes = std::exchange(parser_.get().body(), "");
    total_ += bytes.size();
    if (http_status_ != 200) {
      error_body_ += bytes;
      if (error_body_.size() > kMaxErrorBody) return finish(refusal());
    } else if (total_ > kMaxAnswer) {
      return finish(corrupt("the answer is longer than " + std::to_string(kMaxAnswer) + " bytes"));
    } else if (!bytes.empty()) {
      const Status status = handlers_.on_body(bytes);
      if (!status.is_ok()) return finish(status);
    }
    if (parser_.is_done()) return finish(http_status_ == 200 ? Status::ok() : refusal());
    wait_at_most(options_.stall_timeout);
    http::async_read_some(stream_, buffer_, parser_, [self = shared_from_this()](beast::error_code error, size_t) {
      if (error) return self->fail(error, "the answer broke off");
      self->take_body();
    });
  }

  Status refusal() const { return io_error("HTTP " + std::to_string(http_status_) + ": " + error_text(error_body_)); }

  void fail(beast::error_code error, const std::string& what) {
    if (error == beast::error::timeout) {
      const bool whole = Clock::now() >= deadline_;
      return finish(io_error(what + " within " + seconds_text(whole ? options_.total_timeout : phase_timeout_)));
    }
    if (error == http::error::end_of_stream || error == http::error::partial_message || error == asio::error::eof ||
        error == asio::error::connection_reset || error == asio::error::broken_pipe) {
      return finish(io_error(what + ": the server closed the connection"));
    }
    finish(io_error(what + ": " + error.message()));
  }

  void finish(Status status) {
    beast::error_code ignored;
    stream_.socket().close(ignored);
    handlers_.on_end(std::move(status), http_status_);
    handlers_ = {};
  }

  const ServerAddress& server_;
  HttpCallOptions options_;
  HttpCallHandlers handlers_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_{size_t{1} << 20};
  http::request<http::string_body> request_;
  http::response_parser<http::string_body> parser_;
  Clock::time_point deadline_;
  std::chrono::milliseconds phase_timeout_{0};
  int http_status_ = 0;
  size_t total_ = 0;
  std::string error_body_;
};

}  // namespace

Result<ServerAddress> parse_server_url(const std::string& url) {
  const auto bad = [&](const std::string& why) {
    return invalid_argument("--url " + url + ": " + why + "; it is like http://127.0.0.1:8080");
  };
  constexpr std::string_view kScheme = "http://";
  if (url.starts_with("https://")) return bad("https is not supported: measure the server itself, without a proxy");
  if (!url.starts_with(kScheme)) return bad("it must begin with http://");
  std::string rest = url.substr(kScheme.size());
  ServerAddress server;
  if (const size_t slash = rest.find('/'); slash != std::string::npos) {
    server.prefix = rest.substr(slash);
    rest.resize(slash);
    while (server.prefix.ends_with('/')) server.prefix.pop_back();
    if (server.prefix.ends_with("/v1")) server.prefix.resize(server.prefix.size() - 3);
  }
  size_t colon = rest.rfind(':');
  if (rest.starts_with('[')) {
    const size_t close = rest.find(']');
    if (close == std::string::npos) return bad("a [ without ]");
    server.host = rest.substr(1, close - 1);
    if (close + 1 < rest.size() && rest[close + 1] != ':') return bad("a port follows ] after a colon");
    colon = close + 1 < rest.size() ? close + 1 : std::string::npos;
  } else {
    server.host = rest.substr(0, colon);
  }
  server.port = colon == std::string::npos ? "80" : rest.substr(colon + 1);
  if (server.host.empty()) return bad("the host is missing");
  const bool digits = !server.port.empty() && server.port.size() <= 5 &&
                      server.port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoi(server.port) < 1 || std::stoi(server.port) > 65535) return bad("the port is not 1 to 65535");
  for (char c : server.host + server.prefix) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f) return bad("white space or a control character");
  }
  return server;
}

Status resolve_server(ServerAddress& server) {
  asio::io_context io;
  beast::error_code error;
  const auto results = asio::ip::tcp::resolver(io).resolve(server.host, server.port, error);
  if (error) return io_error("cannot resolve " + server.host + ": " + error.message());
  for (const auto& entry : results) server.endpoints.push_back(entry.endpoint());
  return Status::ok();
}

void start_http_call(asio::io_context& io, const ServerAddress& server, HttpCallOptions options,
                     HttpCallHandlers handlers) {
  std::make_shared<HttpCall>(io, server, std::move(options), std::move(handlers))->start();
}

}  // namespace ferrum
