// The endpoints over a fake engine, without sockets.
#pragma once

#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "apps/server/fake_engine_for_test.h"
#include "apps/server/service.h"

namespace ferrum {

struct Answered {
  int status = 0;
  std::string body;
  std::map<std::string, std::string> headers;
  Json json() const { return Json::parse(body); }
  // The JSON of every event but [DONE].
  std::vector<Json> events() const {
    std::vector<Json> list;
    for (size_t at = 0; (at = body.find("data: {", at)) != std::string::npos; ++at) {
      list.push_back(Json::parse(body.substr(at + 6, body.find("\n\n", at) - at - 6)));
    }
    return list;
  }
};

class ServiceTest : public testing::Test {
 protected:
  Answered call(const std::string& method, const std::string& path, const std::string& body = "",
                HttpRequest request = {}) {
    request.method = method;
    request.path = path;
    if (request.host.empty()) request.host = "localhost:8080";
    if (auto refused = service().refuse(request)) return finish(request, *refused);
    request.body = body;
    Reply reply = service().handle(request);
    if (auto* response = std::get_if<HttpResponse>(&reply)) return finish(request, *response);
    return wait(request, *std::get<std::unique_ptr<PendingReply>>(reply));
  }
  Answered chat(const std::string& more = "") {
    return call("POST", "/v1/chat/completions",
                R"({"messages":[{"role":"user","content":"hi"}])" + (more.empty() ? "" : "," + more) + "}");
  }
  Answered complete(const std::string& prompt, const std::string& more = "") {
    return call("POST", "/v1/completions", R"({"prompt":)" + prompt + (more.empty() ? "" : "," + more) + "}");
  }
  Service& service() {
    if (service_ == nullptr) {
      options_.model_names = {"fake", "alias"};
      options_.version = "1.2.3";
      service_ = std::make_unique<Service>(engine_, options_);
    }
    return *service_;
  }

  ServiceOptions options_;
  FakeEngine engine_;

 private:
  Answered finish(const HttpRequest& request, HttpResponse& response) {
    service().decorate(request, response);
    return {response.status, response.body, {response.headers.begin(), response.headers.end()}};
  }
  Answered wait(const HttpRequest& request, PendingReply& reply) {
    std::mutex mutex;
    std::condition_variable woken;
    bool ready = false;
    reply.set_wake([&] {
      const std::lock_guard lock(mutex);
      ready = true;
      woken.notify_all();
    });
    Answered answered;
    for (;;) {
      PendingReply::Poll poll = reply.poll();
      if (poll.head) answered = finish(request, *poll.head);
      answered.body += poll.piece;
      if (poll.done) return answered;
      std::unique_lock lock(mutex);
      if (!poll.more && !woken.wait_for(lock, std::chrono::seconds(10), [&] { return ready; })) return answered;
      ready = false;
    }
  }

  std::unique_ptr<Service> service_;
};

}  // namespace ferrum
