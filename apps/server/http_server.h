// An asynchronous HTTP/1.1 server on Boost.Asio and Beast: connections, limits and time-outs. What the answers are is
// the handler's business.
//
// Threads: a few io threads run everything but long requests, which one of their own takes apart, so that no stream
// waits for them. Each connection's callbacks run one at a time (a strand). The engine's thread only ever posts to
// them. Where cores are short, threads that compute go before these: answering, and above all refusing, must not stop
// the engine.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "apps/server/http_types.h"
#include "base/status.h"

namespace ferrum {

struct HttpServerOptions {
  std::string host = "127.0.0.1";
  uint16_t port = 8080;                       // 0 = any free one
  int io_threads = 0;                         // 0 = one for every four cores, at most four
  int max_connections = 1024;                 // further ones are answered 503 and closed
  uint32_t max_header_bytes = 16 << 10;       // request line and headers; 431 beyond
  uint64_t max_body_bytes = 8 << 20;          // 413 beyond
  uint64_t long_body_bytes = 16 << 10;        // beyond, a request does not occupy an io thread
  uint64_t max_body_bytes_total = 256 << 20;  // bodies being received at once, all connections together; 503 beyond
  std::chrono::milliseconds idle_timeout{75'000};    // between requests of a connection
  std::chrono::milliseconds header_timeout{15'000};  // from a request's first byte to the end of its headers
  std::chrono::milliseconds body_timeout{60'000};    // for the whole body
  std::chrono::milliseconds write_timeout{30'000};   // for the client to take 64 KiB
};

class HttpServer {
 public:
  // Takes the address, so that a taken one is known before a model is loaded; kIo with a plain message when it is taken
  // or not ours. Clients cannot connect yet.
  static Result<std::unique_ptr<HttpServer>> bind(HttpServerOptions options);
  // Listens and answers from now on. `handler` must outlive the server. Once only.
  Status serve(HttpHandler& handler);
  ~HttpServer();  // stop(0)
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  uint16_t port() const;     // the bound one
  bool is_loopback() const;  // the bound address is a loopback address
  int open_connections() const;

  // Stops accepting, closes idle connections, lets running answers finish for up to `drain`, then closes the rest and
  // joins the threads. Returns false when connections had to be cut. Only the first call does anything.
  bool stop(std::chrono::milliseconds drain);

 private:
  class Impl;
  explicit HttpServer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
  std::shared_ptr<Impl> impl_;
};

// True if `host` (an address or a name) can only be reached from this machine.
bool is_loopback_host(const std::string& host);

}  // namespace ferrum
