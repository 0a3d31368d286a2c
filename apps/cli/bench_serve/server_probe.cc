#include "apps/cli/bench_serve/server_probe.h"

#include <nlohmann/json.hpp>

namespace ferrum {

Result<std::string> first_model(const LoadTarget& target) {
  constexpr size_t kMaxBytes = 4 << 20;
  boost::asio::io_context io(1);
  std::string body;
  Status ended;
  start_http_call(io, target.server, {.target = "/v1/models", .body = "", .stall_timeout = target.stall_timeout},
                  {[](std::string_view) { return Status::ok(); },
                   [&](std::string_view bytes) {
                     body += bytes;
                     return body.size() > kMaxBytes ? corrupt("the list of models is too long") : Status::ok();
                   },
                   [&](Status status, int) { ended = std::move(status); }});
  io.run();
  FERRUM_RETURN_IF_ERROR(ended.with_context("GET /v1/models"));
  const nlohmann::json json = nlohmann::json::parse(body, nullptr, false);
  const nlohmann::json::json_pointer id("/data/0/id");
  if (!json.is_object() || !json.contains(id) || !json[id].is_string()) {
    return io_error("GET /v1/models: the answer names no model; give one with --model");
  }
  return json[id].get<std::string>();
}

Status try_request(const LoadTarget& target, const WorkloadOptions& workload) {
  WorkloadOptions small = workload;
  small.dialogs.clear();
  small.prefix_tokens = 0;
  small.length_spread = 0;
  small.turns = 1;
  small.input_tokens = 8;
  small.output_tokens = 2;
  const LoadResult result =
      run_load(target, make_sessions(small, 1, ~uint64_t{0}), {.concurrency = 1}, 1, [](size_t) {});
  const LoadRecord& record = result.records.front();
  if (!record.error.empty()) return io_error("a first, small request failed: " + record.error);
  if (record.completion_tokens == 0) {
    return io_error("a first, small request: the server names no usage.completion_tokens; rates cannot be known");
  }
  return Status::ok();
}

}  // namespace ferrum
