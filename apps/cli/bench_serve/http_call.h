// One HTTP/1.1 exchange on a connection of its own, asynchronous, with a bound on every wait.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace ferrum {

struct ServerAddress {
  std::string host, port, prefix;  // prefix: what stands before /v1, without a slash at the end
  std::string api_key;             // "" = none
  std::vector<boost::asio::ip::tcp::endpoint> endpoints;
};

// "http://host[:port][/prefix]"; does not resolve. kInvalidArgument for anything else, https included.
Result<ServerAddress> parse_server_url(const std::string& url);
// Fills in the endpoints; kIo when the name has none.
Status resolve_server(ServerAddress& server);

struct HttpCallOptions {
  std::string target;  // path, without the prefix
  std::string body;    // "" = GET, else POST of JSON
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds stall_timeout{120'000};  // without a byte
  std::chrono::milliseconds total_timeout{600'000};
};

struct HttpCallHandlers {
  // The head of a response with status 200: kCorrupt and the like end the call.
  std::function<Status(std::string_view content_type)> on_head;
  // A piece of its body; a failure ends the call.
  std::function<Status(std::string_view bytes)> on_body;
  // Once, last. http_status 0 = no response was read. A status other than 200 is a failure that carries its body.
  std::function<void(Status status, int http_status)> on_end;
};

// Runs on `io`, whose thread calls the handlers; `server` must outlive the call.
void start_http_call(boost::asio::io_context& io, const ServerAddress& server, HttpCallOptions options,
                     HttpCallHandlers handlers);

}  // namespace ferrum
