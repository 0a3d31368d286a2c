#include "apps/common/http_get.h"

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

#include "base/quote.h"

namespace ferrum {
namespace {

constexpr size_t kMaxAnswer = 8UL << 20;
constexpr int kPatience = 5;  // seconds

struct Address {
  std::string host, port;
  std::string authority;  // both, as in the Host header
};

Result<Address> parse_base(const std::string& base) {
  const std::string scheme = "http://";
  std::string rest = base;
  if (rest.starts_with("https://")) return unsupported("https is not supported: give an http:// address");
  if (rest.starts_with(scheme)) rest.erase(0, scheme.size());
  while (rest.ends_with('/')) rest.pop_back();
  for (const char c : rest) {
    if (c == '/' || c == '@' || c <= ' ' || c == 0x7f) rest.clear();
  }
  Address address{rest, "80", rest};
  const size_t colon = rest.rfind(':');
  if (colon != std::string::npos && rest.find(']', colon) == std::string::npos) {
    address.host = rest.substr(0, colon);
    address.port = rest.substr(colon + 1);
  }
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  if (address.host.empty() || address.port.empty()) {
    return invalid_argument(ferrum::quoted(base) + " is no address of a server; give http://HOST:PORT");
  }
  return address;
}

class Socket {
 public:
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket() = default;
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  Status connect_to(const Address& address) {
    addrinfo hints{}, *found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (const int error = getaddrinfo(address.host.c_str(), address.port.c_str(), &hints, &found); error != 0) {
      return io_error("cannot find " + address.authority + ": " + gai_strerror(error));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, freeaddrinfo);
    int reason = 0;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
      fd_ = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
      if (fd_ < 0) continue;
      const timeval patience{kPatience, 0};  // of connect() too
      setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
      setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
      if (connect(fd_, a->ai_addr, a->ai_addrlen) == 0) return Status::ok();
      reason = errno;
      close(fd_);
      fd_ = -1;
    }
    return io_error("cannot reach " + address.authority + ": " + std::strerror(reason));
  }

  Status send_all(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent < 0) return io_error(std::string("cannot send: ") + std::strerror(errno));
      text.remove_prefix(static_cast<size_t>(sent));
    }
    return Status::ok();
  }

  Result<std::string> read_all() {
    std::string text;
    char bytes[1 << 14];
    while (text.size() <= kMaxAnswer) {
      const ssize_t count = recv(fd_, bytes, sizeof(bytes), 0);
      if (count == 0) return text;
      if (count < 0) return io_error(std::string("no answer: ") + std::strerror(errno));
      text.append(bytes, static_cast<size_t>(count));
    }
    return io_error("the answer is longer than " + std::to_string(kMaxAnswer) + " bytes");
  }

 private:
  int fd_ = -1;
};

}  // namespace

Result<std::string> http_get(const std::string& base, const std::string& path, const std::string& key) {
  FERRUM_ASSIGN_OR_RETURN(const Address address, parse_base(base));
  for (const char c : key) {
    if (c <= ' ' || c == 0x7f) return invalid_argument("the API key has characters that a header cannot carry");
  }
  Socket socket;
  FERRUM_RETURN_IF_ERROR(socket.connect_to(address));
  // 1.0: the answer ends with the connection and is not chunked.
  std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + address.authority + "\r\n";
  if (!key.empty()) request += "Authorization: Bearer " + key + "\r\n";
  FERRUM_RETURN_IF_ERROR(socket.send_all(request + "\r\n"));
  FERRUM_ASSIGN_OR_RETURN(std::string answer, socket.read_all());
  const size_t head = answer.find("\r\n\r\n");
  if (!answer.starts_with("HTTP/1.") || head == std::string::npos) {
    return io_error(address.authority + " does not speak HTTP");
  }
  const std::string status = answer.substr(0, answer.find("\r\n"));
  if (status.find(" 401") != std::string::npos) {
    return invalid_argument("the server wants an API key: set FERRUM_API_KEY");
  }
  if (status.find(" 200") == std::string::npos) {
    return io_error(address.authority + " answers " + ferrum::quoted(status));
  }
  return answer.substr(head + 4);
}

}  // namespace ferrum
