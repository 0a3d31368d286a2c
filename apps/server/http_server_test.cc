// The server over real sockets with a fake engine: it answers well-formed clients, survives hostile ones, cancels what
// nobody waits for, never lets a slow reader grow memory or stop the engine, and shuts down in order.
#include "apps/server/http_server.h"

#include <gtest/gtest.h>

#include <future>

#include "apps/server/fake_engine_for_test.h"
#include "apps/server/raw_client_for_test.h"
#include "apps/server/service.h"

namespace ferrum {
namespace {

using std::chrono::milliseconds;

constexpr char kChat[] = R"({"messages":[{"role":"user","content":"hi"}]})";
constexpr char kStream[] = R"({"messages":[{"role":"user","content":"hi"}],"stream":true})";
constexpr char kEndless[] = R"({"messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":4000})";
constexpr char kChatPath[] = "/v1/chat/completions";

struct Fixture {
  explicit Fixture(FakeEngine::Behaviour behaviour = {}, HttpServerOptions options = {}, std::string key = "")
      : engine(behaviour), service(engine, service_options(std::move(key))) {
    options.port = 0;
    Result<std::unique_ptr<HttpServer>> bound = HttpServer::bind(options);
    EXPECT_TRUE(bound.is_ok()) << bound.status().message();
    server = std::move(*bound);
    EXPECT_TRUE(server->serve(service).is_ok());
  }
  static ServiceOptions service_options(std::string key) {
    ServiceOptions options;
    options.model_names = {"fake"};
    options.version = "test";
    if (!key.empty()) options.access.api_keys = {std::move(key)};
    return options;
  }
  uint16_t port() const { return server->port(); }

  FakeEngine engine;
  Service service;
  std::unique_ptr<HttpServer> server;
};

FakeEngine::Behaviour endless(std::chrono::microseconds token_time) {
  FakeEngine::Behaviour behaviour;
  behaviour.token_time = token_time;
  behaviour.answer_tokens = 1'000'000;
  return behaviour;
}

template <typename Condition>
bool eventually(Condition condition, milliseconds limit = milliseconds(10'000)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(2));
  }
  return true;
}

void expect_alive(Fixture& fixture) {
  RawClient client(fixture.port());
  client.send(get_text("/health"));
  const auto response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 200);
}

TEST(HttpServer, AnswersAWholeCompletion) {
  Fixture fixture;
  RawClient client(fixture.port());
  client.send(post_text(kChatPath, kChat));
  const auto response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->headers.at("content-type"), "application/json");
  const Json body = Json::parse(response->body);
  EXPECT_EQ(body["choices"][0]["message"]["content"], "abcdefghij");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "stop");
}

TEST(HttpServer, StreamsEventsAndEndsWithDone) {
  Fixture fixture;
  RawClient client(fixture.port());
  client.send(post_text(kChatPath, kStream));
  const auto response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->headers.at("content-type"), "text/event-stream; charset=utf-8");
  EXPECT_TRUE(response->body.ends_with("data: [DONE]\n\n"));
  std::string text;
  for (size_t at = 0; (at = response->body.find("data: {", at)) != std::string::npos; ++at) {
    const size_t end = response->body.find("\n\n", at);
    const Json chunk = Json::parse(response->body.substr(at + 6, end - at - 6));
    text += chunk["choices"][0]["delta"].value("content", "");
  }
  EXPECT_EQ(text, "abcdefghij");
}

TEST(HttpServer, TokensArriveWhileTheAnswerIsBeingMade) {
  Fixture fixture(endless(milliseconds(20)));
  RawClient client(fixture.port());
  client.send(post_text(kChatPath, kEndless));
  ASSERT_TRUE(client.read_until("\"content\":\"c\""));
  EXPECT_EQ(fixture.engine.finished(), 0);
}

TEST(HttpServer, KeepsTheConnectionForManyRequestsOfEveryKind) {
  Fixture fixture;
  RawClient client(fixture.port());
  for (int i = 0; i < 50; ++i) {
    client.send(i % 3 == 0 ? get_text("/health") : post_text(kChatPath, i % 3 == 1 ? kChat : kStream));
    const auto response = client.response();
    ASSERT_TRUE(response.has_value()) << i;
    EXPECT_EQ(response->status, 200) << i;
    EXPECT_EQ(response->headers.at("connection"), "keep-alive");
  }
  EXPECT_EQ(fixture.server->open_connections(), 1);
}

TEST(HttpServer, PipelinedRequestsAreAnsweredInOrder) {
  Fixture fixture;
  RawClient client(fixture.port());
  client.send(post_text(kChatPath, kChat) + get_text("/version") + post_text(kChatPath, kStream) +
              get_text("/v1/models"));
  const auto chat = client.response();
  const auto version = client.response();
  const auto stream = client.response();
  const auto models = client.response();
  ASSERT_TRUE(chat && version && stream && models);
  EXPECT_NE(chat->body.find("chat.completion"), std::string::npos);
  EXPECT_EQ(version->body, R"({"version":"test"})");
  EXPECT_NE(stream->body.find("[DONE]"), std::string::npos);
  EXPECT_NE(models->body.find("\"fake\""), std::string::npos);
}

TEST(HttpServer, RequestsMayArriveByteByByte) {
  Fixture fixture;
  RawClient client(fixture.port());
  for (const char c : post_text(kChatPath, kChat)) ASSERT_TRUE(client.send(std::string_view(&c, 1)));
  const auto response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 200);
}

TEST(HttpServer, ChunkedBodiesAndExpectContinue) {
  Fixture fixture;
  RawClient client(fixture.port());
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
  const std::string body(kChat);
  client.send("5\r\n" + body.substr(0, 5) + "\r\n");
  char size[16];
  std::snprintf(size, sizeof(size), "%zx\r\n", body.size() - 5);
  client.send(size + body.substr(5) + "\r\n0\r\n\r\n");
  auto response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 200);

  const std::string text = post_text(kChatPath, kChat, "Expect: 100-continue\r\n");
  const size_t split = text.find("\r\n\r\n") + 4;
  client.send(text.substr(0, split));
  response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 100);
  client.send(text.substr(split));
  response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 200);

  client.send(post_text(kChatPath, kChat, "Expect: a miracle\r\n"));
  EXPECT_EQ(client.response()->status, 417);
}

TEST(HttpServer, HeadHasTheHeadersOfGetAndNoBody) {
  Fixture fixture;
  RawClient client(fixture.port());
  client.send("HEAD /version HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto head = client.response(/*head_only=*/true);
  ASSERT_TRUE(head.has_value());
  EXPECT_EQ(head->status, 200);
  EXPECT_EQ(head->headers.at("content-length"), "18");
  client.send(get_text("/version"));  // would be misread if a body had followed
  EXPECT_EQ(client.response()->body, R"({"version":"test"})");
}

TEST(HttpServer, Http10GetsACloseDelimitedStream) {
  Fixture fixture;
  RawClient client(fixture.port());
  const std::string body(kStream);
  client.send("POST /v1/chat/completions HTTP/1.0\r\nHost: localhost\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  const auto response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->headers.count("transfer-encoding"), 0u);
  EXPECT_TRUE(response->body.ends_with("data: [DONE]\n\n"));
  EXPECT_TRUE(client.wait_for_end());
}

TEST(HttpServer, MalformedRequestsGetA400AndTheServerLives) {
  Fixture fixture;
  const char* const kBad[] = {
      "\r\n\r\n\r\n",
      "GARBAGE\r\n\r\n",
      "GET\r\n\r\n",
      "GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",                                   // no Host
      "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",  // two of them
      "GET / HTTP/1.1\r\nHost: localhost\r\nbad header line\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
      "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  // a TLS hello
  };
  for (const char* bad : kBad) {
    RawClient client(fixture.port());
    client.send(bad);
    client.send("\r\n\r\n");
    const auto response = client.response();
    ASSERT_TRUE(response.has_value()) << bad;
    EXPECT_EQ(response->status, 400) << bad;
    EXPECT_TRUE(Json::parse(response->body)["error"]["message"].is_string()) << bad;
    EXPECT_TRUE(client.wait_for_end()) << bad;
  }
  expect_alive(fixture);
}

TEST(HttpServer, HugeHeadersAre431) {
  Fixture fixture;
  RawClient client(fixture.port());
  client.send("GET / HTTP/1.1\r\nHost: localhost\r\nX-Large: " + std::string(20'000, 'x') + "\r\n\r\n");
  EXPECT_EQ(client.response()->status, 431);
  RawClient endless_header(fixture.port());
  while (endless_header.send("X-More: 0123456789012345678901234567890123456789\r\n")) {
    if (endless_header.read_more(0)) break;
  }
  expect_alive(fixture);
}

TEST(HttpServer, TooLargeBodiesAre413BeforeTheyAreRead) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  Fixture fixture({}, options);
  {
    RawClient client(fixture.port());
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1001\r\n\r\n");
    EXPECT_EQ(client.response()->status, 413);
  }
  {
    RawClient client(fixture.port());  // a chunked one does not say how long it will be
    client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("800\r\n" + std::string(0x800, ' ') + "\r\n");
    EXPECT_EQ(client.response()->status, 413);
  }
  {
    RawClient client(fixture.port());
    client.send(post_text(kChatPath, kChat + std::string(1000 - sizeof(kChat) + 1, ' ')));
    EXPECT_EQ(client.response()->status, 200);
  }
}

TEST(HttpServer, BodiesOfAllConnectionsTogetherAreBounded) {
  HttpServerOptions options;
  options.max_body_bytes = 1000;
  options.max_body_bytes_total = 1500;
  Fixture fixture({}, options);
  RawClient first(fixture.port());
  first.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{");
  std::this_thread::sleep_for(milliseconds(50));
  RawClient second(fixture.port());
  second.send(post_text(kChatPath, std::string(900, ' ')));
  EXPECT_EQ(second.response()->status, 503);
  first.close();
  EXPECT_TRUE(eventually([&] {  // what the first held is free again
    RawClient third(fixture.port());
    third.send(post_text(kChatPath, kChat + std::string(900, ' ')));
    return third.response()->status == 200;
  }));
}

TEST(HttpServer, SlowRequestsTimeOut) {
  HttpServerOptions options;
  options.idle_timeout = milliseconds(150);
  options.header_timeout = milliseconds(150);
  options.body_timeout = milliseconds(150);
  Fixture fixture({}, options);
  RawClient idle(fixture.port()), half_head(fixture.port()), half_body(fixture.port());
  half_head.send("GET /health HTT");
  half_body.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{");
  EXPECT_TRUE(idle.wait_for_end());
  EXPECT_EQ(idle.input(), "");
  EXPECT_EQ(half_head.response()->status, 408);
  EXPECT_EQ(half_body.response()->status, 408);
  EXPECT_TRUE(eventually([&] { return fixture.server->open_connections() <= 2; }));
}

TEST(HttpServer, ConnectionsBeyondTheLimitAreToldAndClosed) {
  HttpServerOptions options;
  options.max_connections = 2;
  Fixture fixture({}, options);
  auto first = std::make_unique<RawClient>(fixture.port());
  RawClient second(fixture.port());
  first->send(get_text("/health"));
  second.send(get_text("/health"));
  ASSERT_TRUE(first->response() && second.response());
  RawClient third(fixture.port());
  const auto response = third.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 503);
  EXPECT_EQ(response->headers.at("retry-after"), "1");
  third.close();
  first.reset();
  EXPECT_TRUE(eventually([&] { return fixture.server->open_connections() < 2; }));
  expect_alive(fixture);
}

TEST(HttpServer, AClientThatGoesAwayCancelsItsRequest) {
  for (const bool with_reset : {false, true}) {
    for (const char* body : {kEndless, R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":4000})"}) {
      Fixture fixture(endless(milliseconds(5)));
      RawClient client(fixture.port());
      client.send(post_text(kChatPath, body));
      ASSERT_TRUE(eventually([&] { return fixture.engine.generated() > 2; }));
      if (with_reset) {
        client.reset();
      } else {
        client.close();
      }
      EXPECT_TRUE(eventually([&] { return fixture.engine.cancelled_count() == 1; })) << body;
      EXPECT_TRUE(eventually([&] { return fixture.server->open_connections() == 0; }));
    }
  }
}

TEST(HttpServer, GoingAwayIsNoticedBeforeTheFirstToken) {
  FakeEngine::Behaviour behaviour = endless(milliseconds(300));
  Fixture fixture(behaviour);
  RawClient client(fixture.port());
  client.send(post_text(kChatPath, kChat));
  ASSERT_TRUE(eventually([&] { return fixture.engine.running() == 1; }));
  client.close();
  EXPECT_TRUE(eventually([&] { return fixture.engine.cancelled_count() == 1; }));
  EXPECT_LE(fixture.engine.generated(), 4u);
}

TEST(HttpServer, ASlowReaderIsCutAndTheEngineGoesOn) {
  FakeEngine::Behaviour behaviour = endless(std::chrono::microseconds(50));
  behaviour.text_per_token = 1000;
  HttpServerOptions options;
  options.write_timeout = milliseconds(1000);
  Fixture fixture(behaviour, options);
  RawClient slow(fixture.port(), /*receive_buffer=*/4096);
  slow.send(post_text(kChatPath, R"({"messages":[{"role":"user","content":"hi"}],"stream":true})"));
  EXPECT_TRUE(eventually([&] { return fixture.engine.cancelled_count() == 1; }, milliseconds(30'000)));
  // Cut long before the answer's end: kernel buffers, one piece in flight and the queue's megabyte.
  EXPECT_LT(fixture.engine.generated(), 100'000u);
  EXPECT_TRUE(eventually([&] { return fixture.server->open_connections() == 0; }));
  expect_alive(fixture);
}

TEST(HttpServer, ALateReaderThatKeepsUpGetsEverything) {
  FakeEngine::Behaviour behaviour;
  behaviour.answer_tokens = 2000;
  Fixture fixture(behaviour);
  RawClient client(fixture.port(), /*receive_buffer=*/4096);
  client.send(post_text(kChatPath, kStream));
  std::this_thread::sleep_for(milliseconds(200));  // the engine has finished by now
  const auto response = client.response();
  ASSERT_TRUE(response.has_value());
  size_t letters = 0;
  for (size_t at = 0; (at = response->body.find("\"content\":\"", at)) != std::string::npos; ++at) {
    if (response->body[at + 11] != '"') ++letters;
  }
  EXPECT_EQ(letters, 2000u);
}

TEST(HttpServer, ManyConnectionsOneAfterAnother) {
  Fixture fixture;
  for (int i = 0; i < 1000; ++i) {
    RawClient client(fixture.port());
    ASSERT_TRUE(client.send(get_text("/version", "Connection: close\r\n"))) << i;
    const auto response = client.response();
    ASSERT_TRUE(response.has_value()) << i;
    ASSERT_EQ(response->status, 200) << i;
  }
  EXPECT_TRUE(eventually([&] { return fixture.server->open_connections() == 0; }));
}

TEST(HttpServer, ManyConnectionsAtOnce) {
  Fixture fixture;
  constexpr int kThreads = 16, kRequests = 25;
  std::vector<std::future<int>> clients;
  for (int t = 0; t < kThreads; ++t) {
    clients.push_back(std::async(std::launch::async, [&fixture, t] {
      int good = 0;
      for (int i = 0; i < kRequests; ++i) {
        RawClient client(fixture.port());
        client.send(post_text(kChatPath, (t + i) % 2 == 0 ? kChat : kStream));
        if ((t + i) % 5 == 0) continue;  // goes away at once
        const auto response = client.response();
        if (response && response->status == 200) ++good;
      }
      return good;
    }));
  }
  int good = 0;
  for (auto& client : clients) good += client.get();
  EXPECT_EQ(good, kThreads * kRequests * 4 / 5);
  EXPECT_TRUE(eventually([&] { return fixture.engine.running() == 0 && fixture.server->open_connections() == 0; }));
}

TEST(HttpServer, AFailureBeforeTheFirstTokenIsAnHttpErrorAndLaterAnEvent) {
  FakeEngine::Behaviour behaviour;
  behaviour.fail_at = 0;
  {
    Fixture fixture(behaviour);
    RawClient client(fixture.port());
    client.send(post_text(kChatPath, kStream));
    const auto response = client.response();
    ASSERT_TRUE(response.has_value());
    EXPECT_EQ(response->status, 500);
    EXPECT_EQ(Json::parse(response->body)["error"]["type"], "server_error");
  }
  behaviour.fail_at = 3;
  behaviour.token_time = milliseconds(10);
  Fixture fixture(behaviour);
  RawClient client(fixture.port());
  client.send(post_text(kChatPath, kStream));
  const auto response = client.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 200);
  EXPECT_NE(response->body.find("data: {\"error\":{\"message\":\"the fake engine fails as told\""), std::string::npos);
  EXPECT_TRUE(client.wait_for_end());
}

TEST(HttpServer, AFullQueueIs429WithRetryAfter) {
  FakeEngine::Behaviour behaviour = endless(milliseconds(5));
  behaviour.max_requests = 2;
  behaviour.retry_after_seconds = 6.2;
  Fixture fixture(behaviour);
  RawClient first(fixture.port());
  first.send(post_text(kChatPath, kEndless));
  ASSERT_TRUE(first.read_until("data: "));
  RawClient second(fixture.port());  // two choices do not fit beside the first: none is admitted
  second.send(post_text(kChatPath, R"({"messages":[{"role":"user","content":"hi"}],"n":2})"));
  const auto response = second.response();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 429);
  EXPECT_EQ(response->headers.at("retry-after"), "7");
  EXPECT_TRUE(eventually([&] { return fixture.engine.running() == 1; }));
}

TEST(HttpServer, AFullQueueRefusesBeforeThePromptIsRendered) {
  FakeEngine::Behaviour behaviour = endless(milliseconds(5));
  behaviour.max_requests = 0;
  Fixture fixture(behaviour);
  RawClient client(fixture.port());  // a prompt that the template would refuse
  client.send(
      post_text(kChatPath, R"({"messages":[{"role":"user","content":"hi"}],"chat_template_kwargs":{"fail":1}})"));
  EXPECT_EQ(client.response()->status, 429);
}

std::string post_head(size_t length, const std::string& more_headers = "") {
  return "POST " + std::string(kChatPath) + " HTTP/1.1\r\nHost: localhost\r\n" + more_headers +
         "Content-Length: " + std::to_string(length) + "\r\n\r\n";
}

// The body need not have come, and the connection is good for more whether it has or not; a body that looks like a
// request is not taken for one.
TEST(HttpServer, AFullQueueRefusesBeforeTheBodyIsReadAndKeepsTheConnection) {
  FakeEngine::Behaviour behaviour;
  behaviour.max_requests = 0;
  Fixture fixture(behaviour);
  RawClient client(fixture.port());
  const std::string body = get_text("/nowhere");
  for (size_t sent_at_once : {size_t{0}, size_t{7}, body.size()}) {
    ASSERT_TRUE(client.send(post_head(body.size()) + body.substr(0, sent_at_once)));
    const auto refusal = client.response();
    ASSERT_TRUE(refusal.has_value());
    EXPECT_EQ(refusal->status, 429);
    EXPECT_EQ(refusal->headers.at("connection"), "keep-alive");
    ASSERT_TRUE(client.send(body.substr(sent_at_once) + get_text("/version")));
    const auto next = client.response();
    ASSERT_TRUE(next.has_value());
    EXPECT_EQ(next->status, 200) << "after a body of which " << sent_at_once << " bytes came at once";
  }
}

// What is too long to be skipped, of unknown length, or perhaps not sent at all ends the connection, and the answer is
// read in spite of it.
TEST(HttpServer, ARefusalThatCannotKeepTheConnectionSaysSo) {
  FakeEngine::Behaviour behaviour;
  behaviour.max_requests = 0;
  Fixture fixture(behaviour);
  const std::string chunked = "POST " + std::string(kChatPath) +
                              " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
  const std::string requests[] = {
      post_head(100'000) + std::string(100'000, 'x'),  chunked,
      post_head(5, "Expect: 100-continue\r\n"),        post_head(5, "Connection: close\r\n"),
      post_head(5, "Connection: close\r\n") + "hello", post_head(5, "Connection: close\r\n") + "hello\r\n"};
  for (const std::string& request : requests) {
    SCOPED_TRACE(request.substr(0, 150));
    RawClient client(fixture.port());
    ASSERT_TRUE(client.send(request));
    const auto refusal = client.response();
    ASSERT_TRUE(refusal.has_value());
    EXPECT_EQ(refusal->status, 429);
    EXPECT_EQ(refusal->headers.at("connection"), "close");
    EXPECT_TRUE(client.wait_for_end());
  }
  EXPECT_TRUE(eventually([&] { return fixture.server->open_connections() == 0; }));
}

// A request that takes long to take apart, on a server with one io thread: others are answered meanwhile.
TEST(HttpServer, ALongRequestHoldsUpNobody) {
  class Slow : public HttpHandler {
   public:
    std::optional<HttpResponse> refuse(const HttpRequest&) override { return std::nullopt; }
    Reply handle(const HttpRequest& request) override {
      if (request.body.size() > 1000) {
        ++waiting;
        std::unique_lock lock(mutex);
        wake.wait_for(lock, std::chrono::seconds(60), [this] { return released; });  // longer than the client waits
      }
      return json_response(200, {{"bytes", request.body.size()}});
    }
    void decorate(const HttpRequest&, HttpResponse&) override {}
    std::atomic<int> waiting{0};
    std::mutex mutex;
    std::condition_variable wake;
    bool released = false;
  };
  Slow slow;
  HttpServerOptions options;
  options.port = 0;
  options.io_threads = 1;
  options.long_body_bytes = 1000;
  const auto server = HttpServer::bind(options).value();
  ASSERT_TRUE(server->serve(slow).is_ok());
  RawClient large(server->port()), small(server->port());
  large.send(post_text("/", std::string(1001, 'x')));
  ASSERT_TRUE(eventually([&] { return slow.waiting == 1; }));
  small.send(post_text("/", std::string(1000, 'x')));
  const auto first = small.response();
  ASSERT_TRUE(first.has_value());
  EXPECT_EQ(first->body, R"({"bytes":1000})");
  {
    const std::lock_guard lock(slow.mutex);
    slow.released = true;
  }
  slow.wake.notify_all();
  const auto second = large.response();
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second->body, R"({"bytes":1001})");
  EXPECT_TRUE(server->stop(milliseconds(1000)));
}

// Long requests wait for the thread that takes them apart. One whose client has gone by then is dropped at once, with
// its body, and never looked at; and going away while it is looked at costs nobody else.
TEST(HttpServer, ALongRequestWhoseClientHasGoneIsDroppedFromTheQueue) {
  class Slow : public HttpHandler {
   public:
    std::optional<HttpResponse> refuse(const HttpRequest&) override { return std::nullopt; }
    Reply handle(const HttpRequest& request) override {
      ++handled;
      std::unique_lock lock(mutex);
      wake.wait_for(lock, std::chrono::seconds(60), [this] { return released; });
      return json_response(200, {{"first", request.body.substr(0, 1)}});
    }
    void decorate(const HttpRequest&, HttpResponse&) override {}
    std::atomic<int> handled{0};
    std::mutex mutex;
    std::condition_variable wake;
    bool released = false;
  };
  for (const bool with_reset : {false, true}) {
    Slow slow;
    HttpServerOptions options;
    options.port = 0;
    options.io_threads = 1;
    options.long_body_bytes = 1000;
    options.max_body_bytes_total = 9000;
    const auto server = HttpServer::bind(options).value();
    ASSERT_TRUE(server->serve(slow).is_ok());
    RawClient looked_at(server->port()), gone(server->port()), stays(server->port());
    looked_at.send(post_text("/", std::string(3000, 'a')));
    ASSERT_TRUE(eventually([&] { return slow.handled == 1; }));
    gone.send(post_text("/", std::string(3000, 'b')));
    stays.send(post_text("/", std::string(3000, 'c')));
    ASSERT_TRUE(eventually([&] { return server->open_connections() == 3; }));
    std::this_thread::sleep_for(milliseconds(50));  // until both are queued
    with_reset ? gone.reset() : gone.close();
    EXPECT_TRUE(eventually([&] { return server->open_connections() == 2; }, milliseconds(2000)));
    with_reset ? looked_at.reset() : looked_at.close();  // the handler goes on; nobody waits for its answer
    RawClient next(server->port());
    next.send(post_text("/", std::string(3000, 'd')));  // has room where the second one's body was
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_EQ(slow.handled, 1);
    {
      const std::lock_guard lock(slow.mutex);
      slow.released = true;
    }
    slow.wake.notify_all();
    for (const auto& [client, first] : {std::pair(&stays, "c"), std::pair(&next, "d")}) {
      const auto response = client->response();
      ASSERT_TRUE(response.has_value()) << first;
      EXPECT_EQ(response->status, 200);
      EXPECT_EQ(response->body, std::string(R"({"first":")") + first + "\"}");
    }
    EXPECT_EQ(slow.handled, 3) << "the one whose client had gone was looked at";
    EXPECT_TRUE(server->stop(milliseconds(1000)));
  }
}

TEST(HttpServer, TimeThatIsUpIsAnErrorBeforeTheFirstTokenAndAFinishReasonAfterIt) {
  const std::string body = R"({"messages":[{"role":"user","content":"hi"}],"stream":)";
  for (const bool streams : {false, true}) {
    FakeEngine::Behaviour behaviour;
    behaviour.time_out_at = 0;
    Fixture nothing(behaviour);
    RawClient first(nothing.port());
    first.send(post_text(kChatPath, body + (streams ? "true}" : "false}")));
    const auto refused = first.response();
    ASSERT_TRUE(refused.has_value());
    EXPECT_EQ(refused->status, 504);
    EXPECT_EQ(refused->headers.at("retry-after"), "1");
    EXPECT_NE(refused->body.find("\"code\":\"deadline_exceeded\""), std::string::npos) << refused->body;

    behaviour.time_out_at = 3;
    Fixture some(behaviour);
    RawClient second(some.port());
    second.send(post_text(kChatPath, body + (streams ? "true}" : "false}")));
    const auto cut = second.response();
    ASSERT_TRUE(cut.has_value());
    EXPECT_EQ(cut->status, 200);
    EXPECT_NE(cut->body.find("\"finish_reason\":\"timeout\""), std::string::npos) << cut->body;
    EXPECT_TRUE(streams || cut->body.find("\"content\":\"abc\"") != std::string::npos) << cut->body;
  }
}

TEST(HttpServer, StopLetsRunningAnswersFinishAndRefusesNewConnections) {
  FakeEngine::Behaviour behaviour;
  behaviour.token_time = milliseconds(30);
  Fixture fixture(behaviour);
  const uint16_t port = fixture.port();
  RawClient busy(port), idle(port);
  idle.send(get_text("/health"));
  ASSERT_TRUE(idle.response().has_value());
  busy.send(post_text(kChatPath, kStream));
  ASSERT_TRUE(busy.read_until("\"content\":\"a\""));
  std::future<bool> stopped =
      std::async(std::launch::async, [&] { return fixture.server->stop(milliseconds(10'000)); });
  EXPECT_TRUE(idle.wait_for_end());
  EXPECT_TRUE(busy.read_until("data: [DONE]"));
  EXPECT_NE(busy.input().find("\"content\":\"j\""), std::string::npos);
  EXPECT_TRUE(busy.wait_for_end());
  EXPECT_TRUE(stopped.get());
  EXPECT_FALSE(RawClient(port).connected());
}

TEST(HttpServer, StopCutsWhatDoesNotFinishInTime) {
  Fixture fixture(endless(milliseconds(5)));
  RawClient client(fixture.port());
  client.send(post_text(kChatPath, kEndless));
  ASSERT_TRUE(client.read_until("data: "));
  const auto began = std::chrono::steady_clock::now();
  EXPECT_FALSE(fixture.server->stop(milliseconds(200)));
  EXPECT_LT(std::chrono::steady_clock::now() - began, std::chrono::seconds(5));
  EXPECT_TRUE(eventually([&] { return fixture.engine.cancelled_count() == 1; }));
}

TEST(HttpServer, ATakenPortIsAPlainError) {
  Fixture fixture;
  HttpServerOptions options;
  options.port = fixture.port();
  const auto second = HttpServer::bind(options);
  ASSERT_FALSE(second.is_ok());
  EXPECT_EQ(second.status().code(), StatusCode::kIo);
  EXPECT_NE(second.status().message().find("taken"), std::string::npos);
  options.host = "no-such-host.invalid";
  EXPECT_FALSE(HttpServer::bind(options).is_ok());
}

TEST(HttpServer, RefusesForeignHostsAndOrigins) {
  Fixture fixture;
  RawClient client(fixture.port());
  client.send("GET /health HTTP/1.1\r\nHost: rebound.example:8080\r\n\r\n");
  EXPECT_EQ(client.response()->status, 403);
  client.send(get_text("/health", "Origin: https://evil.example\r\n"));
  EXPECT_EQ(client.response()->status, 403);
  client.send(get_text("/health", "Origin: http://localhost:3000\r\n"));
  const auto response = client.response();
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->headers.at("access-control-allow-origin"), "http://localhost:3000");
}

TEST(HttpServer, AKeyIsAskedForBeforeTheBodyIsRead) {
  Fixture fixture({}, {}, "secret");
  RawClient client(fixture.port());
  client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n");
  const auto refused = client.response();
  ASSERT_TRUE(refused.has_value());
  EXPECT_EQ(refused->status, 401);
  RawClient wrong(fixture.port()), right(fixture.port());
  wrong.send(post_text(kChatPath, kChat, "Authorization: Bearer secreT\r\n"));
  EXPECT_EQ(wrong.response()->status, 401);
  right.send(post_text(kChatPath, kChat, "Authorization: Bearer secret\r\n"));
  EXPECT_EQ(right.response()->status, 200);
  right.send(get_text("/health"));  // probes carry no keys
  EXPECT_EQ(right.response()->status, 200);
}

TEST(HttpServer, RandomBytesNeverStopIt) {
  Fixture fixture;
  uint64_t state = 12345;
  const std::string valid = post_text(kChatPath, kStream);
  for (int round = 0; round < 200; ++round) {
    std::string bytes = valid;
    for (int i = 0; i < 8; ++i) {
      state = state * 6364136223846793005ULL + 1442695040888963407ULL;
      bytes[(state >> 33) % bytes.size()] = static_cast<char>(state >> 20);
    }
    RawClient client(fixture.port());
    client.send(bytes.substr(0, (state >> 40) % bytes.size()));
    if (round % 2 == 0) client.reset();
  }
  expect_alive(fixture);
}

}  // namespace
}  // namespace ferrum
