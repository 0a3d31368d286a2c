#include "apps/server/service.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>

#include "apps/common/chat_prompt.h"
#include "apps/server/api_embedding.h"
#include "apps/server/generation.h"
#include "apps/server/request_prompts.h"
#include "apps/server/stats.h"
#include "apps/server/web_page.h"
#include "base/quote.h"

namespace ferrum {
namespace {

int64_t unix_seconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

std::string random_id(const char* prefix) {
  thread_local std::mt19937_64 generator{std::random_device{}()};
  char digits[33];
  std::snprintf(digits, sizeof(digits), "%016llx%08x", static_cast<unsigned long long>(generator()),
                static_cast<unsigned>(generator()));
  return std::string(prefix).append(digits);
}

// Changes when model, backend or version do: what OpenAI means by system_fingerprint. FNV-1a.
std::string fingerprint_of(const std::string& text) {
  uint64_t hash = 1469598103934665603ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  char digits[32];
  std::snprintf(digits, sizeof(digits), "fp_%010llx", static_cast<unsigned long long>(hash & 0xFFFFFFFFFFULL));
  return digits;
}

SpeculationParams speculation_of(const SpeculationWish& wish, SpeculationParams server) {
  server.mode = wish.mode.value_or(server.mode);
  server.max_draft = wish.max_draft.value_or(server.max_draft);
  return server;
}

// Of two limits, of which 0 is none.
double lesser(double a, double b) { return a == 0 || b == 0 ? a + b : std::min(a, b); }

std::optional<ApiError> check_vocabulary(const GenerationParams& params, int vocab) {
  for (const auto& [token, bias] : params.sampling.logit_bias) {
    if (token < vocab) continue;
    ApiError error = make_error(400,
                                "logit_bias names token " + std::to_string(token) + ", but the vocabulary has " +
                                    std::to_string(vocab) + " tokens",
                                "");
    error.param = "logit_bias";
    return error;
  }
  return check_token_ids(params.stop.stop_token_ids, vocab, "stop_token_ids");
}

}  // namespace

Service::Service(Engine& engine, ServiceOptions options)
    : engine_(engine),
      options_(std::move(options)),
      access_(options_.access),
      fingerprint_(fingerprint_of(engine.describe() + options_.version)),
      started_(unix_seconds()),
      metrics_(std::make_shared<Metrics>(options_.model_names.front())) {}

const Service::Route* Service::find_route(const HttpRequest& request, bool& path_known) {
  static constexpr Route kRoutes[] = {
      {"GET", "/", false, false, &Service::page},
      {"GET", "/health", false, false, &Service::health},
      {"GET", "/version", true, false, &Service::version},
      {"GET", "/metrics", true, false, &Service::prometheus},
      {"GET", "/stats", true, false, &Service::stats},
      {"GET", "/v1/models", true, false, &Service::models},
      {"GET", "/v1/models/", true, false, &Service::model},
      {"POST", "/v1/chat/completions", true, true, &Service::chat_completions},
      {"POST", "/v1/completions", true, true, &Service::completions},
      {"POST", "/v1/embeddings", true, true, &Service::embeddings},
  };
  const std::string verb = request.method == "HEAD" ? "GET" : request.method;
  path_known = false;
  for (const Route& route : kRoutes) {
    const std::string_view path(route.path);
    const bool below = path.size() > 1 && path.ends_with('/') && request.path.starts_with(path);
    if (request.path != path && !below) continue;
    path_known = true;
    if (verb == route.verb) return &route;
  }
  return nullptr;
}

std::optional<HttpResponse> Service::refuse(const HttpRequest& head) {
  if (!access_.host_allowed(head.host)) {
    return error_response(make_error(403,
                                     "the Host header " + ferrum::quoted(head.host) +
                                         " is not one this server answers to; use localhost, or start it with "
                                         "--allowed-host",
                                     "host_not_allowed"));
  }
  if (!access_.origin_allowed(head.origin, head.host)) {
    return error_response(make_error(403,
                                     "requests from the web origin " + ferrum::quoted(head.origin) +
                                         " are not allowed; start the server with --cors-origin to allow it",
                                     "origin_not_allowed"));
  }
  bool path_known = false;
  const Route* route = find_route(head, path_known);
  if (head.method == "OPTIONS" && (path_known || head.path == "*")) {
    HttpResponse response;
    response.status = 204;
    return response;
  }
  if (!path_known) {
    return error_response(make_error(404,
                                     "there is nothing at " + ferrum::quoted(head.path) +
                                         "; see /v1/chat/completions, /v1/completions, /v1/embeddings, "
                                         "/v1/models, /health, /metrics, /stats, /version",
                                     "not_found"));
  }
  if (route == nullptr) {
    const bool posts = head.path.ends_with("/completions") || head.path.ends_with("/embeddings");
    HttpResponse response = error_response(make_error(
        405, ferrum::quoted(head.path) + " takes " + (posts ? "POST" : "GET") + ", not " + ferrum::quoted(head.method),
        "method_not_allowed"));
    response.headers.emplace_back("Allow", posts ? "POST, OPTIONS" : "GET, HEAD, OPTIONS");
    return response;
  }
  if (route->needs_key && !access_.key_matches(head.authorization)) {
    HttpResponse response =
        error_response(make_error(401, "this server needs an API key: send it as \"Authorization: Bearer KEY\"",
                                  "invalid_api_key", "authentication_error"));
    response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return response;
  }
  if (route->generates) {
    if (const auto error = check_room()) return error_response(*error);
  }
  return std::nullopt;
}

void Service::decorate(const HttpRequest& request, HttpResponse& response) {
  metrics_->answered(response.status);
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  if (request.origin.empty() || !access_.origin_allowed(request.origin, request.host)) return;
  response.headers.emplace_back("Access-Control-Allow-Origin", request.origin);
  response.headers.emplace_back("Vary", "Origin");
  if (request.method != "OPTIONS") return;
  response.headers.emplace_back("Access-Control-Allow-Methods", "GET, HEAD, POST, OPTIONS");
  const bool names_headers = !request.wanted_headers.empty();
  response.headers.emplace_back("Access-Control-Allow-Headers",
                                names_headers ? request.wanted_headers : "Authorization, Content-Type");
  response.headers.emplace_back("Access-Control-Max-Age", "600");
}

Reply Service::handle(const HttpRequest& request) {
  bool path_known = false;
  const Route* route = find_route(request, path_known);
  if (route == nullptr) return error_response(make_error(404, "not found", "not_found"));  // refuse() has said more
  return (this->*route->method)(request);
}

Reply Service::page(const HttpRequest&) {
  HttpResponse response;
  response.content_type = "text/html; charset=utf-8";
  response.headers.emplace_back("Content-Security-Policy",
                                "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
                                "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  response.body = web_page();
  return response;
}

Reply Service::health(const HttpRequest&) {
  const EngineStats stats = engine_.stats();
  const bool draining = draining_;
  return json_response(draining ? 503 : 200, {{"status", draining ? "draining" : "ok"},
                                              {"model", options_.model_names.front()},
                                              {"version", options_.version},
                                              {"running", stats.running},
                                              {"waiting", stats.waiting},
                                              {"kv_blocks_used", stats.kv_blocks_used},
                                              {"kv_blocks_total", stats.kv_blocks_total},
                                              {"configuration", options_.configuration}});
}

Reply Service::version(const HttpRequest&) { return json_response(200, {{"version", options_.version}}); }

Reply Service::prometheus(const HttpRequest&) {
  HttpResponse response;
  response.content_type = "text/plain; version=0.0.4; charset=utf-8";
  response.body = metrics_->render(engine_.stats(), engine_.options());
  return response;
}

Reply Service::stats(const HttpRequest&) { return json_response(200, stats_json(engine_)); }

Json Service::model_entry(const std::string& name) const {
  return {{"id", name},
          {"object", "model"},
          {"created", started_},
          {"owned_by", "ferrum"},
          {"max_model_len", engine_.options().max_model_len}};
}

std::optional<ApiError> Service::check_model(const std::string& name) const {
  const auto& names = options_.model_names;
  if (name.empty() || std::find(names.begin(), names.end(), name) != names.end()) return std::nullopt;
  ApiError error = make_error(
      404,
      "the model " + ferrum::quoted(name) + " does not exist here; this server serves " + ferrum::quoted(names.front()),
      "model_not_found");
  error.param = "model";
  return error;
}

Reply Service::models(const HttpRequest&) {
  Json list = Json::array();
  for (const std::string& name : options_.model_names) list.push_back(model_entry(name));
  return json_response(200, {{"object", "list"}, {"data", std::move(list)}});
}

Reply Service::model(const HttpRequest& request) {
  const std::string name = request.path.substr(std::string_view("/v1/models/").size());
  if (const auto error = name.empty() ? make_error(404, "no model named", "model_not_found") : check_model(name)) {
    return error_response(*error);
  }
  return json_response(200, model_entry(name));
}

ResponseMeta Service::make_meta(const char* prefix, const GenerationParams& params) const {
  return {.id = random_id(prefix),
          .model = params.model.empty() ? options_.model_names.front() : params.model,
          .fingerprint = fingerprint_,
          .created = unix_seconds(),
          .usage_in_chunks = params.include_usage};
}

// An overloaded server has no time to read what it will refuse.
std::optional<ApiError> Service::check_room() const {
  if (draining_) return api_error_from(cancelled("the server is shutting down"));
  const Status room = engine_.check_room();
  if (room.is_ok()) return std::nullopt;
  return error_of(room, engine_);
}

// Before work is put into a request.
std::optional<ApiError> Service::check_admission(const GenerationParams& params) const {
  if (auto error = check_model(params.model)) return error;
  if (const Status status = check_priority(params.priority, engine_.options().queue_policy); !status.is_ok()) {
    ApiError error = api_error_from(status);
    error.param = "priority";
    return error;
  }
  return check_room();  // the queue may have filled while the body came
}

Reply Service::generate(std::vector<Request> prompts, const HttpRequest& http, const GenerationParams& params,
                        std::unique_ptr<ResponseFormat> format) {
  GenerationSpec spec;
  spec.n = params.n;
  spec.stream = params.stream;
  spec.include_usage = params.include_usage;
  spec.format = std::move(format);
  const auto per_position =
      sizeof(PositionLogprobs) + sizeof(TokenLogprob) * static_cast<size_t>(std::max(0, params.sampling.logprobs));
  for (Request& prompt : prompts) {
    prompt.sampling = params.sampling;
    prompt.stop = params.stop;
    prompt.with_special = params.with_special;
    prompt.speculation = speculation_of(params.speculation, engine_.options().speculation);
    prompt.priority = params.priority;
    prompt.tenant = access_.tenant_of(http.authorization);
    prompt.cache_salt = params.cache_salt;
    prompt.timeout_seconds = lesser(params.timeout_seconds, options_.request_timeout);
    prompt.queue_timeout_seconds = lesser(params.queue_timeout_seconds, options_.queue_timeout);
    // What the client asked to get at once is not a reader's lag.
    const size_t choices = prompt.prompt_logprobs ? static_cast<size_t>(params.n) : 0;
    spec.max_queued_bytes += choices * prompt.prompt.size() * per_position;
  }
  spec.prompts = std::move(prompts);
  Result<std::unique_ptr<Generation>> generation = Generation::start(engine_, metrics_, std::move(spec));
  if (!generation.is_ok()) return error_response(error_of(generation.status(), engine_));
  return std::unique_ptr<PendingReply>(std::move(*generation));
}

Reply Service::chat_completions(const HttpRequest& http) {
  const Result<Json> body = parse_json(http.body, options_.limits.json);
  if (!body.is_ok()) return error_response(api_error_from(body.status()));
  auto parsed = parse_chat_request(*body, options_.limits);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return error_response(*error);
  const ChatRequest& chat = std::get<ChatRequest>(parsed);
  if (const auto error = check_admission(chat.params)) return error_response(*error);

  const std::shared_ptr<const Tokenizer> tokenizer = engine_.tokenizer();
  if (const auto error = check_vocabulary(chat.params, tokenizer->vocab_size())) return error_response(*error);
  Result<ChatPrompt> prompt = make_chat_prompt(*tokenizer, *engine_.chat_template(), chat.messages, chat.tools,
                                               chat.add_generation_prompt, chat.template_variables);
  if (!prompt.is_ok()) return error_response(prompt_error(prompt.status(), "messages"));
  const int context = engine_.options().max_model_len;
  if (const auto error = check_context(prompt->tokens.size(), chat.params, context, "messages")) {
    return error_response(*error);
  }
  std::vector<Request> requests(1);
  requests[0].prompt = std::move(prompt->tokens);
  return generate(std::move(requests), http, chat.params,
                  make_chat_format(make_meta("chatcmpl-", chat.params), tokenizer, static_cast<size_t>(chat.params.n)));
}

Reply Service::completions(const HttpRequest& http) {
  const Result<Json> body = parse_json(http.body, options_.limits.json);
  if (!body.is_ok()) return error_response(api_error_from(body.status()));
  auto parsed = parse_completion_request(*body, options_.limits);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return error_response(*error);
  const CompletionRequest& completion = std::get<CompletionRequest>(parsed);
  const GenerationParams& params = completion.params;
  if (const auto error = check_admission(params)) return error_response(*error);

  const std::shared_ptr<const Tokenizer> tokenizer = engine_.tokenizer();
  if (const auto error = check_vocabulary(params, tokenizer->vocab_size())) return error_response(*error);
  CompletionFormatOptions format{
      .prompts = {}, .n = params.n, .echo = completion.echo, .with_special = params.with_special};
  std::vector<Request> requests;
  for (const Prompt& prompt : completion.prompts) {
    auto read = read_prompt(prompt, params, options_.limits, engine_, "prompt");
    if (const auto* error = std::get_if<ApiError>(&read)) return error_response(*error);
    auto& known = std::get<ReadPrompt>(read);
    Request request;
    request.prompt = known.tokens;
    request.embeddings = std::move(known.embeddings);
    request.continues_text = true;
    request.prompt_logprobs = completion.echo && params.sampling.logprobs >= 0;
    requests.push_back(std::move(request));
    format.prompts.push_back({std::move(known.text), std::move(known.tokens)});
  }
  return generate(std::move(requests), http, params,
                  make_completion_format(make_meta("cmpl-", params), tokenizer, std::move(format)));
}

Reply Service::embeddings(const HttpRequest& http) {
  const Result<Json> body = parse_json(http.body, options_.limits.json);
  if (!body.is_ok()) return error_response(api_error_from(body.status()));
  auto parsed = parse_embedding_request(*body, options_.limits);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return error_response(*error);
  const EmbeddingRequest& wanted = std::get<EmbeddingRequest>(parsed);
  if (const auto error = check_admission(wanted.params)) return error_response(*error);
  if (const auto error = check_dimensions(wanted, engine_.model().hidden_size)) return error_response(*error);

  std::vector<Request> requests;
  for (const Prompt& input : wanted.inputs) {
    auto read = read_prompt(input, wanted.params, options_.limits, engine_, "input");
    if (const auto* error = std::get_if<ApiError>(&read)) return error_response(*error);
    Request request;
    request.prompt = std::move(std::get<ReadPrompt>(read).tokens);
    request.hidden = HiddenStates::kPostNorm;
    request.hidden_of = wanted.pooling;
    requests.push_back(std::move(request));
  }
  const std::string& name = wanted.params.model.empty() ? options_.model_names.front() : wanted.params.model;
  return generate(std::move(requests), http, wanted.params, make_embedding_format(name, wanted));
}

}  // namespace ferrum
