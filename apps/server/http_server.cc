#include "apps/server/http_server.h"

#include <pthread.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "apps/server/access.h"
#include "apps/server/http_connection.h"
#include "base/cores.h"

namespace ferrum {
namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using Error = boost::system::error_code;

namespace {

constexpr int kNice = 5;  // a third of the weight of a thread that computes

// Neither can fail in a way that matters.
void become_http_thread() {
  pthread_setname_np(pthread_self(), "http");
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);
}

HttpServerOptions resolved(HttpServerOptions options) {
  if (options.io_threads == 0) options.io_threads = std::clamp(process_cores() / 4, 1, 4);
  return options;
}

}  // namespace

class HttpServer::Impl : public std::enable_shared_from_this<HttpServer::Impl> {
 public:
  explicit Impl(HttpServerOptions options)
      : options_(resolved(std::move(options))),
        body_budget_(options_.max_body_bytes_total),
        io_(options_.io_threads),
        work_(asio::make_work_guard(io_)),
        long_work_(asio::make_work_guard(long_requests_)),
        acceptor_(asio::make_strand(io_)),
        retry_(acceptor_.get_executor()) {}

  Status bind() {
    Error error;
    tcp::resolver resolver(io_);
    const std::string port = std::to_string(options_.port);
    const auto found = resolver.resolve(options_.host, port, tcp::resolver::passive, error);
    if (error || found.empty()) {
      return invalid_argument("--host: cannot resolve " + options_.host + ": " + error.message());
    }
    const tcp::endpoint endpoint = *found.begin();
    const std::string where = options_.host + ":" + port;
    if (acceptor_.open(endpoint.protocol(), error); error) return io_error("cannot open a socket: " + error.message());
    acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (acceptor_.bind(endpoint, error); error) {
      if (error == asio::error::address_in_use) {
        return io_error(where + " is taken by another process; choose another with --port, or 0 for any free one");
      }
      return io_error("cannot listen on " + where + ": " + error.message());
    }
    bound_ = acceptor_.local_endpoint(error);
    return Status::ok();
  }

  Status serve(HttpHandler& handler) {
    Error error;
    if (acceptor_.listen(asio::socket_base::max_listen_connections, error); error) {
      return io_error("cannot listen on " + options_.host + ":" + std::to_string(port()) + ": " + error.message());
    }
    handler_ = &handler;
    asio::post(acceptor_.get_executor(), [self = shared_from_this()] { self->accept(); });
    for (int i = 0; i < options_.io_threads; ++i) threads_.push_back(thread_of(io_));
    long_thread_ = thread_of(long_requests_);
    return Status::ok();
  }

  bool stop(std::chrono::milliseconds drain) {
    if (draining_.exchange(true)) return true;
    if (threads_.empty()) return true;  // bound and never served
    asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
      Error ignored;
      self->acceptor_.close(ignored);
      self->retry_.cancel();
    });
    for (const auto& connection : connections()) connection->drain();
    const bool drained = wait_until_empty(drain);
    if (!drained) {
      for (const auto& connection : connections()) connection->abort();
    }
    // The threads leave when the last operation is done. Stopping them earlier would strand what they still hold.
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    long_work_.reset();  // last: until then a connection may still hand over a request
    long_thread_.join();
    return drained;
  }

  uint16_t port() const { return bound_.port(); }
  bool is_loopback() const { return bound_.address().is_loopback(); }
  int open_connections() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(connections_.size());
  }

 private:
  static std::thread thread_of(asio::io_context& context) {
    return std::thread([&context] {
      become_http_thread();
      context.run();
    });
  }

  void accept() {
    if (draining_) return;
    acceptor_.async_accept(asio::make_strand(io_), [self = shared_from_this()](Error error, tcp::socket socket) {
      if (self->draining_ || error == asio::error::operation_aborted) return;
      if (!error) {
        self->add(std::move(socket));
        return self->accept();
      }
      // Out of file descriptors, or the client was faster gone than accepted. Trying again at once would spin.
      spdlog::warn("accept failed: {}", error.message());
      self->retry_.expires_after(std::chrono::milliseconds(100));
      self->retry_.async_wait([self](Error) { self->accept(); });
    });
  }

  void add(tcp::socket socket) {
    const ConnectionContext context{options_, *handler_, body_budget_, draining_, long_requests_.get_executor()};
    auto* raw = new HttpConnection(std::move(socket), context);
    // The registry forgets a connection when its last operation has let go of it.
    std::weak_ptr<Impl> weak = weak_from_this();
    const std::shared_ptr<HttpConnection> connection(raw, [weak](HttpConnection* gone) {
      const auto self = weak.lock();
      delete gone;
      if (self) self->remove(gone);
    });
    bool full = false;
    {
      const std::lock_guard lock(mutex_);
      full = connections_.size() >= static_cast<size_t>(options_.max_connections);
      connections_[raw] = connection;
    }
    if (full) {
      connection->start_refusing();
    } else {
      connection->start();
    }
  }

  void remove(HttpConnection* gone) {
    const std::lock_guard lock(mutex_);
    connections_.erase(gone);
    if (connections_.empty()) empty_.notify_all();
  }

  std::vector<std::shared_ptr<HttpConnection>> connections() const {
    std::vector<std::shared_ptr<HttpConnection>> alive;
    const std::lock_guard lock(mutex_);
    for (const auto& [raw, weak] : connections_) {
      if (auto connection = weak.lock()) alive.push_back(std::move(connection));
    }
    return alive;
  }

  bool wait_until_empty(std::chrono::milliseconds time) {
    std::unique_lock lock(mutex_);
    return empty_.wait_for(lock, time, [this] { return connections_.empty(); });
  }

  const HttpServerOptions options_;
  HttpHandler* handler_ = nullptr;  // set before the threads start
  ByteBudget body_budget_;          // before io_: the last connections go when io_ does, and give back what they hold
  std::atomic<bool> draining_{false};
  asio::io_context io_;
  asio::io_context long_requests_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_, long_work_;
  tcp::acceptor acceptor_;    // used on its strand once serve() was called
  asio::steady_timer retry_;  // likewise
  tcp::endpoint bound_;       // constant after listen()
  std::vector<std::thread> threads_;
  std::thread long_thread_;

  mutable std::mutex mutex_;  // protects connections_
  std::condition_variable empty_;
  std::map<HttpConnection*, std::weak_ptr<HttpConnection>> connections_;
};

Result<std::unique_ptr<HttpServer>> HttpServer::bind(HttpServerOptions options) {
  auto impl = std::make_shared<Impl>(std::move(options));
  FERRUM_RETURN_IF_ERROR(impl->bind());
  return std::unique_ptr<HttpServer>(new HttpServer(std::move(impl)));
}

Status HttpServer::serve(HttpHandler& handler) { return impl_->serve(handler); }
HttpServer::~HttpServer() { stop(std::chrono::milliseconds(0)); }
uint16_t HttpServer::port() const { return impl_->port(); }
bool HttpServer::is_loopback() const { return impl_->is_loopback(); }
int HttpServer::open_connections() const { return impl_->open_connections(); }
bool HttpServer::stop(std::chrono::milliseconds drain) { return impl_->stop(drain); }

bool is_loopback_host(const std::string& host) {
  Error error;
  const auto address = asio::ip::make_address(host, error);
  return error ? is_loopback_name(host_name(host)) : address.is_loopback();
}

}  // namespace ferrum
