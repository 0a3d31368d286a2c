// The endpoints: what each path answers, in terms of an Engine. Knows HTTP values but no sockets.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "apps/server/access.h"
#include "apps/server/api_request.h"
#include "apps/server/api_response.h"
#include "apps/server/http_types.h"
#include "apps/server/json_reader.h"
#include "apps/server/metrics.h"
#include "engine/engine.h"

namespace ferrum {

struct ServiceOptions {
  std::vector<std::string> model_names;  // what clients may ask for; the first is what /v1/models lists
  AccessPolicy::Options access;
  ApiLimits limits;
  std::string version;
  Json configuration = Json::object();            // selected value by decision; shown by /health
  double request_timeout = 0, queue_timeout = 0;  // seconds, of requests that do not ask for less; 0 = no limit
};

class Service : public HttpHandler {
 public:
  // The engine must be started and must outlive the service.
  Service(Engine& engine, ServiceOptions options);

  std::optional<HttpResponse> refuse(const HttpRequest& head) override;
  Reply handle(const HttpRequest& request) override;
  void decorate(const HttpRequest& request, HttpResponse& response) override;

  // From now on new work is refused with 503 and /health says so.
  void begin_draining() { draining_ = true; }

 private:
  using Method = Reply (Service::*)(const HttpRequest&);
  struct Route {
    const char* verb;
    const char* path;  // ending in '/': also everything below it
    bool needs_key;
    bool generates;  // needs a place in the engine's queue
    Method method;
  };
  static const Route* find_route(const HttpRequest& request, bool& path_known);

  Reply page(const HttpRequest& request);
  Reply health(const HttpRequest& request);
  Reply version(const HttpRequest& request);
  Reply prometheus(const HttpRequest& request);
  Reply stats(const HttpRequest& request);
  Reply models(const HttpRequest& request);
  Reply model(const HttpRequest& request);
  Reply chat_completions(const HttpRequest& request);
  Reply completions(const HttpRequest& request);
  Reply embeddings(const HttpRequest& request);

  std::optional<ApiError> check_model(const std::string& name) const;
  Json model_entry(const std::string& name) const;
  std::optional<ApiError> check_room() const;
  std::optional<ApiError> check_admission(const GenerationParams& params) const;
  Reply generate(std::vector<Request> prompts, const HttpRequest& http, const GenerationParams& params,
                 std::unique_ptr<ResponseFormat> format);
  ResponseMeta make_meta(const char* prefix, const GenerationParams& params) const;

  Engine& engine_;
  const ServiceOptions options_;
  const AccessPolicy access_;
  const std::string fingerprint_;
  const int64_t started_;                   // Unix seconds
  const std::shared_ptr<Metrics> metrics_;  // shared with sinks, which the engine may call after the service is gone
  std::atomic<bool> draining_{false};
};

}  // namespace ferrum
