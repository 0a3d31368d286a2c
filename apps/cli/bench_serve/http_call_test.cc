// The client against servers that misbehave in every way a socket allows.
#include "apps/cli/bench_serve/http_call.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "apps/cli/bench_serve/load.h"
#include "apps/cli/bench_serve/server_probe.h"

namespace ferrum {
namespace {

// Answers every connection with the same bytes once it has read a request's head, then closes or keeps silent.
class CannedServer {
 public:
  CannedServer(std::string answer, bool hold) : answer_(std::move(answer)), hold_(hold) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(::listen(listener_, 16), 0);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~CannedServer() {
    stop_ = true;
    thread_.join();
    for (int fd : held_) ::close(fd);
    ::close(listener_);
  }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  const std::string& last_request() const { return request_; }  // after the client has ended

 private:
  void run() {
    while (!stop_) {
      pollfd ready{listener_, POLLIN, 0};
      if (::poll(&ready, 1, 20) != 1) continue;
      const int fd = ::accept(listener_, nullptr, nullptr);
      std::string request;
      char bytes[4096];
      while (request.find("\r\n\r\n") == std::string::npos) {
        const ssize_t count = ::recv(fd, bytes, sizeof bytes, 0);
        if (count <= 0) break;
        request.append(bytes, static_cast<size_t>(count));
      }
      request_ = request;
      ::send(fd, answer_.data(), answer_.size(), MSG_NOSIGNAL);
      if (hold_) {
        held_.push_back(fd);
      } else {
        ::shutdown(fd, SHUT_WR);
        while (::recv(fd, bytes, sizeof bytes, 0) > 0) {
        }
        ::close(fd);
      }
    }
  }

  const std::string answer_;
  const bool hold_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::string request_;
  std::vector<int> held_;
  std::thread thread_;
};

std::string response(const std::string& status, const std::string& type, const std::string& body) {
  return "HTTP/1.1 " + status + "\r\nContent-Type: " + type + "\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}
std::string stream(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + body;
}

LoadTarget target_of(const std::string& url) {
  LoadTarget target;
  target.server = parse_server_url(url).value();
  EXPECT_TRUE(resolve_server(target.server).is_ok());
  target.stall_timeout = std::chrono::milliseconds(200);
  target.total_timeout = std::chrono::milliseconds(400);
  return target;
}

LoadRecord ask_once(const LoadTarget& target) {
  WorkloadOptions workload;
  workload.input_tokens = 3;
  workload.output_tokens = 2;
  return run_load(target, make_sessions(workload, 1, 0), {.concurrency = 1}, 1, [](size_t) {}).records.at(0);
}

constexpr const char* kGood =
    "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: {\"choices\":[{\"text\":\"b\"}]}\n\n"
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n";

TEST(LoadClient, ReadsAGoodAnswerAndSendsWhatTheWorkloadSays) {
  CannedServer server(stream(kGood), false);
  const LoadRecord record = ask_once(target_of(server.url() + "/base/v1/"));
  EXPECT_EQ(record.error, "");
  EXPECT_FALSE(record.wrong_count);
  EXPECT_EQ(record.completion_tokens, 2);
  EXPECT_EQ(record.gaps.size(), 1u);
  EXPECT_TRUE(server.last_request().starts_with("POST /base/v1/completions HTTP/1.1\r\n")) << server.last_request();
}

TEST(LoadClient, EveryKindOfBrokenServerIsAClearErrorWithinItsTime) {
  struct Case {
    std::string answer;
    bool hold;
    const char* part;
  };
  const Case cases[] = {
      {"", false, "no answer: the server closed the connection"},
      {"", true, "no answer within 200 ms"},
      {"HTTP/1.1 200 OK\r\nContent-Ty", true, "no answer within 200 ms"},
      {"SSH-2.0-OpenSSH_9.2\r\n\r\n", false, "no answer"},
      {response("500 Internal Server Error", "application/json", R"({"error":{"message":"out of blocks"}})"), false,
       "HTTP 500: out of blocks"},
      {response("503 Service Unavailable", "text/html", "<html>busy</html>"), false, "HTTP 503: <html>busy</html>"},
      {response("404 Not Found", "text/plain", ""), false, "HTTP 404: (no body)"},
      {"HTTP/1.1 500 X\r\nContent-Length: 1000\r\n\r\nhalf", true, "the answer broke off within 200 ms"},
      {response("200 OK", "application/json", "{}"), false, "not a stream of events but application/json"},
      {stream("data: {\"choices\":[\n\n"), false, "not a JSON object"},
      {stream("data: {\"error\":{\"message\":\"preempted\"}}\n\n"), false, "the stream reports: preempted"},
      {stream("data: {\"choices\":[{\"text\":\"a\"}]}\n\n"), false, "ended without [DONE]"},
      {stream("data: {\"choices\":[{\"text\":\"a\"}]}\n\n"), true, "the answer broke off within 200 ms"},
      {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", false,
       "the answer broke off"},
      {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n", false,
       "the server closed the connection"},
  };
  for (const Case& c : cases) {
    CannedServer server(c.answer, c.hold);
    const LoadRecord record = ask_once(target_of(server.url()));
    EXPECT_NE(record.error.find(c.part), std::string::npos) << c.answer << "\n gave: " << record.error;
  }
}

TEST(LoadClient, AWrongNumberOfTokensIsSeen) {
  const std::string more = "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":{\"prompt_tokens\":";
  const std::pair<const char*, bool> cases[] = {{"3,\"completion_tokens\":2", false},
                                                {"4,\"completion_tokens\":2", false},  // with a beginning-of-text
                                                {"5,\"completion_tokens\":2", true},
                                                {"3,\"completion_tokens\":1", true},
                                                {"3", true}};
  for (const auto& [usage, wrong] : cases) {
    CannedServer server(stream(more + usage + "}}\n\ndata: [DONE]\n\n"), false);
    const LoadRecord record = ask_once(target_of(server.url()));
    EXPECT_EQ(record.error, "");
    EXPECT_EQ(record.wrong_count, wrong) << usage;
  }
}

TEST(LoadClient, NobodyListeningIsAnError) {
  std::string url;
  {
    CannedServer server("", false);
    url = server.url();
  }
  EXPECT_NE(ask_once(target_of(url)).error.find("cannot connect"), std::string::npos);
}

TEST(LoadClient, AnOpenLoopSendsEverythingWhateverTheServerDoes) {
  CannedServer server("", true);
  const LoadTarget target = target_of(server.url());
  const LoadResult result = run_load(target, make_sessions({}, 20, 0), {.rate = 1000}, 1, [](size_t) {});
  ASSERT_EQ(result.records.size(), 20u);
  for (const LoadRecord& record : result.records) EXPECT_NE(record.error, "");
}

TEST(ServerProbe, SaysWhyAServerIsNotOfTheRightKind) {
  const std::pair<std::string, const char*> cases[] = {
      {response("200 OK", "application/json", "{\"data\":[]}"), "names no model"},
      {response("200 OK", "text/html", "<html>"), "names no model"},
      {response("401 Unauthorized", "application/json", R"({"error":{"message":"a key is needed"}})"),
       "a key is needed"},
      {"", "closed the connection"}};
  for (const auto& [answer, part] : cases) {
    CannedServer server(answer, false);
    const auto model = first_model(target_of(server.url()));
    ASSERT_FALSE(model.is_ok());
    EXPECT_NE(model.status().message().find(part), std::string::npos) << model.status().message();
  }
  CannedServer good(response("200 OK", "application/json", R"({"data":[{"id":"m"}]})"), false);
  EXPECT_EQ(first_model(target_of(good.url())).value(), "m");
  CannedServer silent(stream("data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n"), false);
  EXPECT_NE(try_request(target_of(silent.url()), {}).message().find("usage"), std::string::npos);
}

TEST(ServerUrl, IsReadOrRefusedWithAReason) {
  const auto server = parse_server_url("http://[::1]:81/x/v1/").value();
  EXPECT_EQ(server.host, "::1");
  EXPECT_EQ(server.port, "81");
  EXPECT_EQ(server.prefix, "/x");
  EXPECT_EQ(parse_server_url("http://host").value().port, "80");
  for (const char* wrong :
       {"", "host:80", "https://host", "http://", "http://:80", "http://h:0", "http://h:99999", "http://h:8x",
        "http://[::1", "http://[::1]x", "http://h:", "http://h/a b", "http://h\r\n"}) {
    const auto refused = parse_server_url(wrong);
    ASSERT_FALSE(refused.is_ok()) << wrong;
    EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace ferrum
