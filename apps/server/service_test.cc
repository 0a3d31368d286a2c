// The endpoints over a fake engine, without sockets: response objects in OpenAI's form, fan-out, access, refusals.
#include "apps/server/service.h"

#include "apps/server/engine_metrics.h"

#include <gtest/gtest.h>

#include <set>

#include "apps/server/service_harness_for_test.h"

namespace ferrum {
namespace {

TEST_F(ServiceTest, StatsNeedTheKeyAndShowNoText) {
  options_.access.api_keys = {"secret"};
  EXPECT_EQ(call("GET", "/stats").status, 401);
  HttpRequest request;
  request.authorization = "Bearer secret";
  const Answered answer = call("GET", "/stats", "", request);
  ASSERT_EQ(answer.status, 200);
  EXPECT_EQ(answer.json()["engine"]["kv_blocks_total"], 100);
  EXPECT_TRUE(answer.json()["requests"].is_array());
}

TEST_F(ServiceTest, ChatCompletionHasOpenAisShape) {
  const Answered answer = chat(R"("model":"alias","max_tokens":3)");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json body = answer.json();
  EXPECT_TRUE(body["id"].get<std::string>().starts_with("chatcmpl-"));
  EXPECT_EQ(body["object"], "chat.completion");
  EXPECT_TRUE(body["created"].is_number_integer());
  EXPECT_EQ(body["model"], "alias");
  EXPECT_TRUE(body["system_fingerprint"].get<std::string>().starts_with("fp_"));
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["message"].dump(), R"({"role":"assistant","content":"abc","refusal":null})");
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_TRUE(choice["logprobs"].is_null());
  // <s>user="hi";assistant=
  EXPECT_EQ(
      body["usage"].dump(),
      R"({"prompt_tokens":21,"completion_tokens":3,"total_tokens":24,"prompt_tokens_details":{"cached_tokens":0}})");
  const Request request = engine_.submitted().at(0);
  EXPECT_EQ(engine_.tokenizer()->decode(request.prompt, true), "<s>user=\"hi\";assistant=");
  EXPECT_FALSE(request.continues_text);
}

TEST_F(ServiceTest, ChatStreamHasRoleDeltasReasonAndUsage) {
  const Answered answer = chat(R"("stream":true,"stream_options":{"include_usage":true},"max_tokens":2)");
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
  const std::vector<Json> events = answer.events();
  ASSERT_EQ(events.size(), 5u) << answer.body;
  EXPECT_EQ(events[0]["choices"][0]["delta"].dump(), R"({"role":"assistant","content":""})");
  EXPECT_EQ(events[1]["choices"][0]["delta"].dump(), R"({"content":"a"})");
  EXPECT_EQ(events[2]["choices"][0]["delta"].dump(), R"({"content":"b"})");
  EXPECT_TRUE(events[2]["choices"][0]["finish_reason"].is_null());
  EXPECT_EQ(events[3]["choices"][0]["delta"].dump(), "{}");
  EXPECT_EQ(events[3]["choices"][0]["finish_reason"], "length");
  EXPECT_TRUE(events[3].contains("usage") && events[3]["usage"].is_null());
  EXPECT_TRUE(events[4]["choices"].empty());
  EXPECT_EQ(events[4]["usage"]["completion_tokens"], 2);
  std::set<std::string> ids;
  for (const Json& event : events) {
    ids.insert(event["id"].get<std::string>());
    EXPECT_EQ(event["object"], "chat.completion.chunk");
  }
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_FALSE(chat(R"("stream":true)").events().at(0).contains("usage"));
}

TEST_F(ServiceTest, ChoicesFanOutWithTheirOwnSeedsAndCountThePromptOnce) {
  const Answered answer = chat(R"("n":3,"seed":5,"max_tokens":2)");
  const Json body = answer.json();
  ASSERT_EQ(body["choices"].size(), 3u);
  const char* const kTexts[] = {"fg", "gh", "hi"};  // the fake shifts by the seed
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(body["choices"][i]["index"], i);
    EXPECT_EQ(body["choices"][i]["message"]["content"], kTexts[i]);
  }
  EXPECT_EQ(body["usage"]["prompt_tokens"], 21);
  EXPECT_EQ(body["usage"]["completion_tokens"], 6);
  std::set<int> indexes;
  for (const Json& event : chat(R"("n":3,"stream":true)").events()) {
    indexes.insert(event["choices"][0]["index"].get<int>());
  }
  EXPECT_EQ(indexes, (std::set<int>{0, 1, 2}));
}

TEST_F(ServiceTest, ChatLogprobsCarryTextAndBytes) {
  const Json body = chat(R"("logprobs":true,"top_logprobs":2,"max_tokens":1)").json();
  const Json& content = body["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 1u);
  EXPECT_EQ(content[0]["token"], "a");
  EXPECT_EQ(content[0]["logprob"], -0.5);
  EXPECT_EQ(content[0]["bytes"].dump(), "[97]");
  ASSERT_EQ(content[0]["top_logprobs"].size(), 2u);
  EXPECT_EQ(content[0]["top_logprobs"][1]["token"], "b");
  EXPECT_EQ(content[0]["top_logprobs"][1]["logprob"], -2.0);
  const std::vector<Json> events = chat(R"("logprobs":true,"stream":true,"max_tokens":1)").events();
  EXPECT_EQ(events[1]["choices"][0]["logprobs"]["content"][0]["token"], "a");
}

TEST_F(ServiceTest, CompletionsOfEveryPromptForm) {
  Json body = complete(R"("xy")").json();
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_TRUE(body["id"].get<std::string>().starts_with("cmpl-"));
  EXPECT_EQ(body["choices"][0].dump(), R"({"index":0,"text":"abcdefghij","logprobs":null,"finish_reason":"stop"})");
  EXPECT_TRUE(engine_.submitted().at(0).continues_text);
  EXPECT_EQ(engine_.submitted().at(0).prompt, (std::vector<TokenId>{256, 'x', 'y'}));

  body = complete(R"(["x","yz"])", R"("n":2,"seed":0,"max_tokens":1)").json();
  ASSERT_EQ(body["choices"].size(), 4u);
  EXPECT_EQ(body["choices"][1]["text"], "b");
  EXPECT_EQ(body["choices"][2]["text"], "a");
  EXPECT_EQ(body["usage"]["prompt_tokens"], 5);  // 2 + 3, each once
  EXPECT_EQ(body["usage"]["completion_tokens"], 4);

  complete("[120,121]");
  EXPECT_EQ(engine_.submitted().back().prompt, (std::vector<TokenId>{120, 121}));
}

TEST_F(ServiceTest, EchoWithLogprobsOfThePromptAndNothingGenerated) {
  const Json body = complete("[256,120,195,169,121]", R"("echo":true,"logprobs":1,"max_tokens":0)").json();
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["text"], "x\xc3\xa9y");
  const Json& logprobs = choice["logprobs"];
  EXPECT_EQ(logprobs["tokens"].dump(), "[\"<s>\",\"x\",\"\uFFFD\",\"\uFFFD\",\"y\"]");
  EXPECT_EQ(logprobs["token_logprobs"].dump(), "[null,-0.5,-0.5,-0.5,-0.5]");
  EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
  EXPECT_EQ(logprobs["top_logprobs"][1].dump(), R"({"x":-0.5})");
  EXPECT_EQ(logprobs["text_offset"].dump(), "[0,0,1,2,2]");  // in characters; the second byte of é starts none
  EXPECT_EQ(body["usage"]["completion_tokens"], 0);
}

TEST_F(ServiceTest, EchoStreamsThePromptFirstAndOffsetsGoOn) {
  const std::vector<Json> events =
      complete(R"("xy")", R"("echo":true,"stream":true,"max_tokens":1,"logprobs":0)").events();
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0]["choices"][0]["text"], "xya");
  EXPECT_EQ(events[0]["choices"][0]["logprobs"]["text_offset"].dump(), "[0,0,1,2]");
  const Json plain = complete(R"("xy")", R"("max_tokens":2,"logprobs":0)").json();
  EXPECT_EQ(plain["choices"][0]["logprobs"]["text_offset"].dump(), "[2,3]");
}

TEST_F(ServiceTest, ModelsHealthVersionPageAndMetrics) {
  const Json models = call("GET", "/v1/models").json();
  EXPECT_EQ(models["object"], "list");
  EXPECT_EQ(models["data"].size(), 2u);
  EXPECT_EQ(models["data"][0]["id"], "fake");
  EXPECT_EQ(models["data"][0]["owned_by"], "ferrum");
  EXPECT_EQ(call("GET", "/v1/models/alias").json()["id"], "alias");
  EXPECT_EQ(call("GET", "/v1/models/none").status, 404);
  EXPECT_EQ(call("GET", "/version").json()["version"], "1.2.3");
  EXPECT_EQ(call("GET", "/health").json()["status"], "ok");
  const Answered page = call("GET", "/");
  EXPECT_NE(page.body.find("<!doctype html>"), std::string::npos);
  EXPECT_EQ(page.body.find("https://"), std::string::npos) << "the page must not load anything from elsewhere";
  EXPECT_NE(page.headers.at("Content-Security-Policy").find("default-src 'none'"), std::string::npos);

  chat();
  const std::string metrics = call("GET", "/metrics").body;
  for (const char* line :
       {"vllm:num_requests_running{model_name=\"fake\"} ", "# TYPE vllm:time_to_first_token_seconds histogram",
        "vllm:time_to_first_token_seconds_count{model_name=\"fake\"} 1\n",
        "vllm:inter_token_latency_seconds_count{model_name=\"fake\"} 9\n",
        "vllm:e2e_request_latency_seconds_bucket{model_name=\"fake\",le=\"+Inf\"} 1\n",
        "vllm:request_success_total{model_name=\"fake\",finished_reason=\"stop\"} 1\n",
        "vllm:spec_decode_num_drafts_total{model_name=\"fake\"} 0\n",
        "vllm:spec_decode_num_draft_tokens_total{model_name=\"fake\"} 0\n",
        "vllm:spec_decode_num_accepted_tokens_total{model_name=\"fake\"} 0\n",
        "ferrum:spec_decode_num_draft_tokens_total{model_name=\"fake\",source=\"ngram\"} 0\n",
        "ferrum:spec_decode_num_accepted_tokens_total{model_name=\"fake\",source=\"draft\"} 0\n",
        "ferrum:draft_model_passes_total{model_name=\"fake\"} 0\n", "vllm:kv_cache_usage_perc{model_name=\"fake\"} 0\n",
        "vllm:cache_config_info{model_name=\"fake\",block_size="}) {
    EXPECT_NE(metrics.find(line), std::string::npos) << line << "\n" << metrics;
  }
}

TEST_F(ServiceTest, ARequestSaysOfSpeculationWhatItWantsToAndTheServerTheRest) {
  chat();
  chat(R"("speculation":{"mode":"ngram"})");
  chat(R"("speculation":{"max_draft":3})");
  const std::vector<Request> requests = engine_.submitted();
  ASSERT_EQ(requests.size(), 3u);
  const SpeculationParams server = engine_.options().speculation;
  ASSERT_EQ(server.mode, SpeculationMode::kOff);
  EXPECT_EQ(requests[0].speculation->mode, SpeculationMode::kOff);
  EXPECT_EQ(requests[1].speculation->mode, SpeculationMode::kNgram);
  EXPECT_EQ(requests[1].speculation->max_draft, server.max_draft);
  EXPECT_EQ(requests[2].speculation->mode, SpeculationMode::kOff);
  EXPECT_EQ(requests[2].speculation->max_draft, 3);
}

TEST_F(ServiceTest, ARequestCarriesItsTenantPrioritySaltAndTimes) {
  options_.access.api_keys = {"first", "second"};
  options_.request_timeout = 60;
  HttpRequest second;
  second.authorization = "Bearer second";
  const auto ask = [&](const std::string& more) {
    EXPECT_EQ(
        call("POST", "/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}])" + more + "}", second)
            .status,
        200);
    return engine_.submitted().back();
  };
  const Request request = ask(R"(,"priority":-3,"cache_salt":"tea","timeout":2.5,"queue_timeout":1)");
  EXPECT_EQ(request.tenant, "key 2");
  EXPECT_EQ(request.priority, -3);
  EXPECT_EQ(request.cache_salt, "tea");
  EXPECT_EQ(request.timeout_seconds, 2.5);
  EXPECT_EQ(request.queue_timeout_seconds, 1);
  const Request plain = ask("");
  EXPECT_EQ(plain.priority, 0);
  EXPECT_EQ(plain.timeout_seconds, 60) << "the server's";
  EXPECT_EQ(plain.queue_timeout_seconds, 0);
  EXPECT_EQ(ask(R"(,"timeout":600)").timeout_seconds, 60) << "no more than the server's";
}

TEST_F(ServiceTest, MetricsAndStatsTellOfThePrefixCache) {
  const std::string metrics = call("GET", "/metrics").body;
  const Json stats = call("GET", "/stats").json();
  for (const EngineMetric& metric : engine_metrics()) {
    const std::string name = std::string(metric.name) + (metric.counter ? "_total" : "");
    EXPECT_NE(metrics.find("\n" + name + "{model_name=\"fake\"} "), std::string::npos) << name;
    if (metric.group == nullptr) continue;
    EXPECT_TRUE(stats.at(metric.group).at(metric.key).is_number_integer()) << metric.key;
  }
  for (const char* key :
       {"enabled", "hits", "misses", "evictions", "saved_prefill_tokens", "queried_tokens", "entries", "bytes"}) {
    EXPECT_TRUE(stats["prefix_cache"].contains(key)) << key;
  }
}

TEST_F(ServiceTest, WrongPathsAndMethods) {
  EXPECT_EQ(call("GET", "/nothing").status, 404);
  EXPECT_EQ(call("GET", "/v1/").status, 404);
  const Answered wrong = call("GET", "/v1/chat/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.headers.at("Allow"), "POST, OPTIONS");
  EXPECT_EQ(call("POST", "/health").status, 405);
  EXPECT_EQ(call("DELETE", "/v1/models").status, 405);
}

TEST_F(ServiceTest, PreflightsAnswerTheConfiguredOrigins) {
  options_.access.cors_origins = {"https://app.example"};
  HttpRequest request;
  request.origin = "https://app.example";
  request.wanted_headers = "authorization,x-stainless-os";
  Answered answer = call("OPTIONS", "/v1/chat/completions", "", request);
  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.headers.at("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_EQ(answer.headers.at("Access-Control-Allow-Headers"), "authorization,x-stainless-os");
  request.origin = "https://other.example";
  answer = call("OPTIONS", "/v1/chat/completions", "", request);
  EXPECT_EQ(answer.status, 403);
  EXPECT_EQ(answer.headers.count("Access-Control-Allow-Origin"), 0u);
}

TEST_F(ServiceTest, RequestErrorsHaveOpenAisShape) {
  Answered answer = chat(R"("model":"gpt-4")");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.json()["error"]["code"], "model_not_found");
  EXPECT_EQ(answer.json()["error"]["param"], "model");
  EXPECT_EQ(answer.json()["error"]["type"], "invalid_request_error");

  answer = call("POST", "/v1/chat/completions", "{\"messages\": [}");
  EXPECT_EQ(answer.status, 400);
  EXPECT_NE(answer.json()["error"]["message"].get<std::string>().find("line 1, column"), std::string::npos);
  EXPECT_TRUE(answer.json()["error"]["param"].is_null());

  answer = chat(R"("max_tokens":4096)");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["code"], "context_length_exceeded");
  answer = complete(Json(std::string(5000, 'x')).dump());
  EXPECT_EQ(answer.json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(answer.json()["error"]["param"], "prompt");

  EXPECT_EQ(chat(R"("logit_bias":{"258":1})").json()["error"]["param"], "logit_bias");
  EXPECT_EQ(complete("[1,258]").json()["error"]["param"], "prompt");
  EXPECT_EQ(complete("[1]", R"("stop_token_ids":[999])").json()["error"]["param"], "stop_token_ids");

  answer = chat(R"("chat_template_kwargs":{"fail":"no tools, please"})");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["param"], "messages");
  EXPECT_TRUE(engine_.submitted().empty()) << "a refused request must not reach the engine";
}

TEST_F(ServiceTest, DrainingRefusesNewWork) {
  service().begin_draining();
  EXPECT_EQ(chat().status, 503);
  EXPECT_EQ(call("GET", "/health").status, 503);
}

}  // namespace
}  // namespace ferrum
