// HTTP as the rest of the server sees it: plain values, no socket and no library behind them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "apps/server/api_error.h"

namespace ferrum {

struct HttpRequest {
  std::string method;          // "GET", as sent
  std::string path;            // percent-decoded, without the query
  std::string host;            // the Host header
  std::string origin;          // the Origin header, "" if absent
  std::string authorization;   // the Authorization header
  std::string wanted_headers;  // Access-Control-Request-Headers of a preflight
  std::string body;            // empty while only the head has been read
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;  // besides Content-Type, -Length, Connection and Date
  std::string body;
  bool streamed = false;  // the body comes in pieces from a PendingReply; Content-Length is not known
};

HttpResponse json_response(int status, const Json& body);
HttpResponse error_response(const ApiError& error);  // with Retry-After where the error has one
const char* reason_phrase(int status);               // "Not Found"

// An answer that is not there yet. The connection calls all methods from one thread at a time and destroys the object
// when the answer is complete or the client is gone; destroying it abandons the work behind it.
class PendingReply {
 public:
  struct Poll {
    std::optional<HttpResponse> head;  // once, before or together with the first piece
    std::string piece;                 // part of a streamed body
    bool done = false;                 // nothing follows
    bool more = false;                 // poll again as soon as this is written; false: wait to be woken
    bool close = false;                // with done: the connection must not be used again
  };
  virtual ~PendingReply() = default;
  // `wake` is called from any thread when poll() may have something new; never after the destructor has returned.
  virtual void set_wake(std::function<void()> wake) = 0;
  virtual Poll poll() = 0;
};

using Reply = std::variant<HttpResponse, std::unique_ptr<PendingReply>>;

// What answers requests; called from several threads at once.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Looks at a request whose body has not been read yet: an answer refuses it, and the body is never read.
  virtual std::optional<HttpResponse> refuse(const HttpRequest& head) = 0;
  virtual Reply handle(const HttpRequest& request) = 0;
  // Called once for every answer, also for those the connection makes itself (to requests it could not read): adds the
  // headers that all answers carry (CORS).
  virtual void decorate(const HttpRequest& request, HttpResponse& response) = 0;
};

}  // namespace ferrum
