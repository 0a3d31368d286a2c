// A client made of a plain socket, so that tests can send what no HTTP library would.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <map>
#include <optional>
#include <string>

namespace ferrum {

struct RawResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // lower-case names
  std::string body;                            // chunks joined
};

class RawClient {
 public:
  explicit RawClient(uint16_t port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0) setsockopt(socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~RawClient() { close(); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return connected_; }

  // False once the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // Reads what is there or comes within the time; false at the end of the connection or when nothing came.
  bool read_more(int milliseconds = 10'000) {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, milliseconds) <= 0) return false;
    char bytes[16384];
    const ssize_t count = ::recv(socket_, bytes, sizeof(bytes), 0);
    if (count <= 0) {
      ended_ = true;
      return false;
    }
    input_.append(bytes, static_cast<size_t>(count));
    return true;
  }
  bool read_until(std::string_view text, int milliseconds = 10'000) {
    while (input_.find(text) == std::string::npos) {
      if (!read_more(milliseconds)) return false;
    }
    return true;
  }
  // True if the server closes (or resets) within the time; further input is kept.
  bool wait_for_end(int milliseconds = 10'000) {
    while (read_more(milliseconds)) {
    }
    return ended_;
  }
  // The next response on the connection. head_only: the answer to a HEAD request.
  std::optional<RawResponse> response(bool head_only = false) {
    if (!read_until("\r\n\r\n")) return std::nullopt;
    RawResponse result;
    const size_t end = input_.find("\r\n\r\n");
    parse_head(input_.substr(0, end), result);
    input_.erase(0, end + 4);
    if (head_only || result.status == 204 || result.status < 200) return result;
    if (result.headers.count("transfer-encoding") > 0)
      return read_chunks(result) ? std::optional(result) : std::nullopt;
    if (result.headers.count("content-length") == 0) {
      wait_for_end();
      result.body = std::exchange(input_, "");
      return result;
    }
    const size_t length = std::stoul(result.headers["content-length"]);
    while (input_.size() < length) {
      if (!read_more()) return std::nullopt;
    }
    result.body = input_.substr(0, length);
    input_.erase(0, length);
    return result;
  }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  void reset() {  // RST instead of FIN
    const linger now{1, 0};
    setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close();
  }
  std::string& input() { return input_; }

 private:
  static void parse_head(const std::string& head, RawResponse& result) {
    result.status = std::atoi(head.c_str() + 9);
    for (size_t at = head.find("\r\n"); at != std::string::npos;) {
      const size_t next = head.find("\r\n", at + 2);
      const std::string line = head.substr(at + 2, next == std::string::npos ? next : next - at - 2);
      const size_t colon = line.find(": ");
      std::string name = line.substr(0, colon);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      if (colon != std::string::npos) result.headers[name] = line.substr(colon + 2);
      at = next;
    }
  }
  bool read_chunks(RawResponse& result) {
    for (;;) {
      if (!read_until("\r\n")) return false;
      const size_t size = std::stoul(input_, nullptr, 16);
      const size_t begin = input_.find("\r\n") + 2;
      while (input_.size() < begin + size + 2) {
        if (!read_more()) return false;
      }
      result.body += input_.substr(begin, size);
      input_.erase(0, begin + size + 2);
      if (size == 0) return true;
    }
  }

  int socket_ = -1;
  bool connected_ = false, ended_ = false;
  std::string input_;
};

inline std::string post_text(const std::string& path, const std::string& body, const std::string& more_headers = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" + more_headers +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
inline std::string get_text(const std::string& path, const std::string& more_headers = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n" + more_headers + "\r\n";
}

}  // namespace ferrum
