// Request bodies: every supported field arrives in the engine's terms, and everything else is refused with a 400 whose
// param names it. Nothing is dropped silently.
#include "apps/server/api_request.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

Json chat(const std::string& more = "") {
  return Json::parse(R"({"messages":[{"role":"user","content":"hi"}])" + (more.empty() ? "" : "," + more) + "}");
}
Json completion(const std::string& more = "") {
  return Json::parse(R"({"prompt":"hi")" + (more.empty() ? "" : "," + more) + "}");
}

ChatRequest good_chat(const Json& body) {
  auto parsed = parse_chat_request(body, {});
  if (const auto* error = std::get_if<ApiError>(&parsed)) ADD_FAILURE() << error->message;
  return std::holds_alternative<ChatRequest>(parsed) ? std::get<ChatRequest>(parsed) : ChatRequest();
}
CompletionRequest good_completion(const Json& body) {
  auto parsed = parse_completion_request(body, {});
  if (const auto* error = std::get_if<ApiError>(&parsed)) ADD_FAILURE() << error->message;
  return std::holds_alternative<CompletionRequest>(parsed) ? std::get<CompletionRequest>(parsed) : CompletionRequest();
}
ApiError bad_chat(const Json& body) {
  auto parsed = parse_chat_request(body, {});
  if (!std::holds_alternative<ApiError>(parsed)) return {.status = 200, .message = "accepted", .param = "", .code = ""};
  return std::get<ApiError>(parsed);
}
ApiError bad_completion(const Json& body) {
  auto parsed = parse_completion_request(body, {});
  if (!std::holds_alternative<ApiError>(parsed)) return {.status = 200, .message = "accepted", .param = "", .code = ""};
  return std::get<ApiError>(parsed);
}

TEST(ChatRequest, DefaultsAreOpenAis) {
  const ChatRequest request = good_chat(chat());
  EXPECT_EQ(request.params.sampling.temperature, 1.0f);
  EXPECT_EQ(request.params.sampling.top_p, 1.0f);
  EXPECT_EQ(request.params.sampling.logprobs, -1);
  EXPECT_EQ(request.params.sampling.seed, std::nullopt);
  EXPECT_EQ(request.params.stop.max_tokens, -1);
  EXPECT_EQ(request.params.n, 1);
  EXPECT_FALSE(request.params.stream);
  EXPECT_TRUE(request.add_generation_prompt);
  EXPECT_TRUE(request.tools.is_null());
}

TEST(ChatRequest, EveryFieldArrives) {
  const ChatRequest request = good_chat(chat(R"(
      "model":"m","temperature":0.25,"top_p":0.5,"top_k":7,"min_p":0.125,"typical_p":0.75,"repetition_penalty":1.5,
      "presence_penalty":0.5,"frequency_penalty":-0.5,"repeat_last_n":64,"seed":-1,"n":3,"stream":true,
      "stream_options":{"include_usage":true},"stop":["a","b"],"stop_token_ids":[5],"ignore_eos":true,
      "include_stop_str_in_output":true,"skip_special_tokens":false,"logit_bias":{"12":-100,"3":2.5},"logprobs":true,
      "top_logprobs":4,"max_completion_tokens":9,"add_generation_prompt":false,
      "chat_template_kwargs":{"enable_thinking":false},"reasoning_effort":"low",
      "speculation":{"mode":"both","max_draft":3})"));
  const SamplingParams& sampling = request.params.sampling;
  EXPECT_EQ(request.params.model, "m");
  EXPECT_EQ(sampling.temperature, 0.25f);
  EXPECT_EQ(sampling.top_p, 0.5f);
  EXPECT_EQ(sampling.top_k, 7);
  EXPECT_EQ(sampling.min_p, 0.125f);
  EXPECT_EQ(sampling.typical_p, 0.75f);
  EXPECT_EQ(sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(sampling.presence_penalty, 0.5f);
  EXPECT_EQ(sampling.frequency_penalty, -0.5f);
  EXPECT_EQ(sampling.penalty_window, 64);
  EXPECT_EQ(sampling.seed, UINT64_MAX);
  EXPECT_EQ(sampling.logprobs, 4);
  EXPECT_EQ(sampling.logit_bias, (std::vector<std::pair<TokenId, float>>{{12, -100.0f}, {3, 2.5f}}));
  EXPECT_EQ(request.params.n, 3);
  EXPECT_TRUE(request.params.stream);
  EXPECT_TRUE(request.params.include_usage);
  EXPECT_TRUE(request.params.with_special);
  EXPECT_EQ(request.params.stop.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(request.params.stop.stop_token_ids, std::vector<TokenId>{5});
  EXPECT_TRUE(request.params.stop.ignore_eos);
  EXPECT_TRUE(request.params.stop.include_stop);
  EXPECT_EQ(request.params.stop.max_tokens, 9);
  EXPECT_EQ(request.params.speculation.mode, SpeculationMode::kBoth);
  EXPECT_EQ(request.params.speculation.max_draft, 3);
  EXPECT_FALSE(request.add_generation_prompt);
  EXPECT_EQ(request.template_variables.dump(), R"({"enable_thinking":false,"reasoning_effort":"low"})");
}

TEST(ChatRequest, MessagesKeepWhatTheTemplateMayWant) {
  const Json body = Json::parse(R"({"messages":[
      {"role":"developer","content":"rules"},
      {"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}],"name":"Ada"},
      {"role":"assistant","content":null,"refusal":null,"audio":null,"annotations":[],
       "tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}]},
      {"role":"tool","tool_call_id":"c1","content":"42"}]})");
  const Json messages = good_chat(body).messages;
  EXPECT_EQ(messages[0].dump(), R"({"role":"developer","content":"rules"})");
  EXPECT_EQ(messages[1].dump(),
            R"({"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}],"name":"Ada"})");
  EXPECT_EQ(messages[2]["tool_calls"].dump(),
            R"([{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\": 1}"}}])");
  EXPECT_EQ(messages[2].size(), 3u) << "nulls and annotations are gone: " << messages[2].dump();
  EXPECT_EQ(messages[3].dump(), R"({"role":"tool","content":"42","tool_call_id":"c1"})");
}

TEST(ChatRequest, JsonInsideStringsIsBoundedToo) {
  Json body = Json::parse(
      R"({"messages":[{"role":"assistant","tool_calls":[{"id":"1","function":{"name":"f","arguments":""}}]}]})");
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  body["messages"][0]["tool_calls"][0]["function"]["arguments"] = deep;
  EXPECT_EQ(bad_chat(body).param, "messages[0].tool_calls[0].function.arguments");
}

TEST(ChatRequest, ToolsGoToTheTemplateUnlessChoiceIsNone) {
  const std::string tools = R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}])";
  EXPECT_EQ(good_chat(chat(tools)).tools.size(), 1u);
  EXPECT_EQ(good_chat(chat(tools + R"(,"tool_choice":"auto")")).tools.size(), 1u);
  EXPECT_TRUE(good_chat(chat(tools + R"(,"tool_choice":"none")")).tools.is_null());
  EXPECT_TRUE(good_chat(chat(R"("tools":[])")).tools.is_null());
}

TEST(ChatRequest, HarmlessFieldsAndNullsAreAccepted) {
  good_chat(chat(R"("user":"u","metadata":{"a":"b"},"store":false,"parallel_tool_calls":true,"service_tier":"auto",
      "response_format":{"type":"text"},"modalities":["text"],"temperature":null,"stop":null,"tools":null,
      "functions":null,"stream_options":null,"logit_bias":null,"max_tokens":null,"seed":null)"));
}

struct Bad {
  const char* fields;
  const char* param;
};

TEST(ChatRequest, WrongValuesAre400WithTheirParam) {
  const Bad kBad[] = {
      {R"("model":5)", "model"},
      {R"("model":"")", "model"},
      {R"("temperature":"hot")", "temperature"},
      {R"("temperature":-0.1)", "temperature"},
      {R"("temperature":1e300)", "temperature"},
      {R"("temperature":[1])", "temperature"},
      {R"("top_p":1.5)", "top_p"},
      {R"("top_p":-1)", "top_p"},
      {R"("min_p":2)", "min_p"},
      {R"("typical_p":-1)", "typical_p"},
      {R"("top_k":-2)", "top_k"},
      {R"("top_k":0.5)", "top_k"},
      {R"("repetition_penalty":0)", "repetition_penalty"},
      {R"("presence_penalty":1e9)", "presence_penalty"},
      {R"("frequency_penalty":true)", "frequency_penalty"},
      {R"("repeat_last_n":-2)", "repeat_last_n"},
      {R"("priority":1.5)", "priority"},
      {R"("priority":1000001)", "priority"},
      {R"("timeout":0)", "timeout"},
      {R"("timeout":-1)", "timeout"},
      {R"("timeout":"1")", "timeout"},
      {R"("queue_timeout":1e12)", "queue_timeout"},
      {R"("cache_salt":"")", "cache_salt"},
      {R"("cache_salt":7)", "cache_salt"},
      {R"("seed":1.5)", "seed"},
      {R"("seed":"1")", "seed"},
      {R"("n":0)", "n"},
      {R"("n":-1)", "n"},
      {R"("n":129)", "n"},
      {R"("n":99999999999999999999)", "n"},
      {R"("stream":"yes")", "stream"},
      {R"("stream_options":{"include_usage":true})", "stream_options"},
      {R"("stream":true,"stream_options":{"include_usage":1})", "stream_options.include_usage"},
      {R"("stream":true,"stream_options":{"other":1})", "stream_options.other"},
      {R"("stream":true,"stream_options":[])", "stream_options"},
      {R"("stop":5)", "stop"},
      {R"("stop":"")", "stop"},
      {R"("stop":["a",""])", "stop[1]"},
      {R"("stop":["a",null])", "stop[1]"},
      {R"("stop":[1])", "stop[0]"},
      {R"("stop":["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])", "stop"},
      {R"("stop_token_ids":5)", "stop_token_ids"},
      {R"("stop_token_ids":[-1])", "stop_token_ids[0]"},
      {R"("stop_token_ids":[4294967296])", "stop_token_ids[0]"},
      {R"("ignore_eos":1)", "ignore_eos"},
      {R"("speculation":"ngram")", "speculation"},
      {R"("speculation":{"mode":"drafts"})", "speculation.mode"},
      {R"("speculation":{"mode":1})", "speculation.mode"},
      {R"("speculation":{"max_draft":0})", "speculation.max_draft"},
      {R"("speculation":{"max_draft":33})", "speculation.max_draft"},
      {R"("speculation":{"mode":"off","ngram":2})", "speculation.ngram"},
      {R"("skip_special_tokens":"no")", "skip_special_tokens"},
      {R"("logit_bias":[])", "logit_bias"},
      {R"("logit_bias":{"x":1})", "logit_bias"},
      {R"("logit_bias":{"-1":1})", "logit_bias"},
      {R"("logit_bias":{"1 ":1})", "logit_bias"},
      {R"("logit_bias":{"99999999999":1})", "logit_bias"},
      {R"("logit_bias":{"1":101})", "logit_bias.1"},
      {R"("logit_bias":{"1":"2"})", "logit_bias.1"},
      {R"("logprobs":5)", "logprobs"},
      {R"("top_logprobs":3)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":-1)", "top_logprobs"},
      {R"("max_tokens":0)", "max_tokens"},
      {R"("max_tokens":-1)", "max_tokens"},
      {R"("max_tokens":1.5)", "max_tokens"},
      {R"("max_tokens":4294967296)", "max_tokens"},
      {R"("max_tokens":5,"max_completion_tokens":6)", "max_tokens"},
      {R"("tools":{})", "tools"},
      {R"("tools":[1])", "tools[0]"},
      {R"("tools":[{"type":"x"}])", "tools[0].type"},
      {R"("tools":[{"type":"function"}])", "tools[0].function"},
      {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])", "tools[0].function.parameters"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
      {R"("response_format":{"type":"json_object"})", "response_format"},
      {R"("response_format":{"type":"json_schema","json_schema":{}})", "response_format"},
      {R"("response_format":{})", "response_format"},
      {R"("response_format":"json")", "response_format"},
      {R"("modalities":["text","audio"])", "modalities"},
      {R"("chat_template_kwargs":[])", "chat_template_kwargs"},
      {R"("functions":[])", "functions"},
      {R"("best_of":2)", "best_of"},
      {R"("echo":true)", "echo"},
      {R"("guided_json":{})", "guided_json"},
      {R"("temprature":1)", "temprature"},
      {R"("prompt":"x")", "prompt"},
  };
  for (const Bad& bad : kBad) {
    const ApiError error = bad_chat(chat(bad.fields));
    EXPECT_EQ(error.status, 400) << bad.fields;
    EXPECT_EQ(error.param, bad.param) << bad.fields << ": " << error.message;
    EXPECT_FALSE(error.message.empty()) << bad.fields;
  }
}

TEST(ChatRequest, WrongMessagesAre400WithTheirPath) {
  const Bad kBad[] = {
      {R"({})", "messages"},
      {R"({"messages":null})", "messages"},
      {R"({"messages":[]})", "messages"},
      {R"({"messages":"hi"})", "messages"},
      {R"({"messages":[5]})", "messages[0]"},
      {R"({"messages":[{}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user"}]})", "messages[0].content"},
      {R"({"messages":[{"role":"wizard","content":"x"}]})", "messages[0].role"},
      {R"({"messages":[{"role":"user","content":"x"},{"role":"user","content":5}]})", "messages[1].content"},
      {R"({"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]})",
       "messages[0].content[0].type"},
      {R"({"messages":[{"role":"user","content":[{"type":"text"}]}]})", "messages[0].content[0].text"},
      {R"({"messages":[{"role":"user","content":["x"]}]})", "messages[0].content[0]"},
      {R"({"messages":[{"role":"user","content":"x","extra":1}]})", "messages[0].extra"},
      {R"({"messages":[{"role":"user","content":"x","name":5}]})", "messages[0].name"},
      {R"({"messages":[{"role":"assistant","tool_calls":{}}]})", "messages[0].tool_calls"},
      {R"({"messages":[{"role":"assistant","tool_calls":[{"id":"1"}]}]})", "messages[0].tool_calls[0].function"},
      {R"({"messages":[{"role":"user","content":"x","tool_calls":[]}]})", "messages[0].tool_calls"},
      {R"([])", ""},
  };
  for (const Bad& bad : kBad) {
    const ApiError error = bad_chat(Json::parse(bad.fields));
    EXPECT_EQ(error.status, 400) << bad.fields;
    EXPECT_EQ(error.param, bad.param) << bad.fields << ": " << error.message;
  }
}

TEST(ChatRequest, CountsAreBounded) {
  ApiLimits limits;
  limits.max_messages = 2;
  limits.max_logit_bias = 1;
  limits.max_tools = 0;
  limits.max_stop_bytes = 3;
  const auto param = [&](const Json& body) {
    auto parsed = parse_chat_request(body, limits);
    return std::holds_alternative<ApiError>(parsed) ? std::get<ApiError>(parsed).param : "accepted";
  };
  Json three = chat();
  three["messages"].push_back(three["messages"][0]);
  EXPECT_EQ(param(three), "accepted");
  three["messages"].push_back(three["messages"][0]);
  EXPECT_EQ(param(three), "messages");
  EXPECT_EQ(param(chat(R"("logit_bias":{"1":1,"2":1})")), "logit_bias");
  EXPECT_EQ(param(chat(R"("tools":[{"type":"function","function":{"name":"f"}}])")), "tools");
  EXPECT_EQ(param(chat(R"("stop":"abcd")")), "stop");
}

TEST(CompletionRequest, DefaultsAndFields) {
  EXPECT_EQ(good_completion(completion()).params.stop.max_tokens, 16);
  const CompletionRequest request = good_completion(completion(R"("max_tokens":0,"echo":true,"logprobs":5,"n":2)"));
  EXPECT_EQ(request.params.stop.max_tokens, 0);
  EXPECT_TRUE(request.echo);
  EXPECT_EQ(request.params.sampling.logprobs, 5);
  EXPECT_EQ(request.params.n, 2);
  good_completion(completion(R"("best_of":1,"suffix":"")"));
}

TEST(CompletionRequest, FourFormsOfPrompt) {
  const auto prompts = [](const char* prompt) {
    return good_completion(Json::parse(std::string(R"({"prompt":)") + prompt + "}")).prompts;
  };
  EXPECT_EQ(prompts(R"("text")"), std::vector<Prompt>{Prompt("text")});
  EXPECT_EQ(prompts(R"("")"), std::vector<Prompt>{Prompt("")});
  EXPECT_EQ(prompts(R"(["a","b"])"), (std::vector<Prompt>{Prompt("a"), Prompt("b")}));
  EXPECT_EQ(prompts("[1,2]"), (std::vector<Prompt>{Prompt(std::vector<TokenId>{1, 2})}));
  EXPECT_EQ(prompts("[[1],[2,3]]"),
            (std::vector<Prompt>{Prompt(std::vector<TokenId>{1}), Prompt(std::vector<TokenId>{2, 3})}));
}

TEST(CompletionRequest, WrongValuesAre400WithTheirParam) {
  const Bad kBad[] = {
      {R"({})", "prompt"},
      {R"({"prompt":null})", "prompt"},
      {R"({"prompt":5})", "prompt"},
      {R"({"prompt":[]})", "prompt"},
      {R"({"prompt":{"a":1}})", "prompt"},
      {R"({"prompt":["a",1]})", "prompt[1]"},
      {R"({"prompt":[1,"a"]})", "prompt[1]"},
      {R"({"prompt":[1,-1]})", "prompt[1]"},
      {R"({"prompt":[1,1.5]})", "prompt[1]"},
      {R"({"prompt":[[1],["a"]]})", "prompt[1][0]"},
      {R"({"prompt":[[1],"a"]})", "prompt[1]"},
      {R"({"prompt":[[1],[4294967296]]})", "prompt[1][0]"},
      {R"({"prompt":"x","max_tokens":-1})", "max_tokens"},
      {R"({"prompt":"x","logprobs":true})", "logprobs"},
      {R"({"prompt":"x","logprobs":21})", "logprobs"},
      {R"({"prompt":"x","best_of":3})", "best_of"},
      {R"({"prompt":"x","suffix":"y"})", "suffix"},
      {R"({"prompt":["a","b","c"],"n":100})", "n"},
      {R"({"prompt":"x","messages":[]})", "messages"},
      {R"({"prompt":"x","top_logprobs":2})", "top_logprobs"},
      {R"({"prompt":"x","response_format":{"type":"json_object"}})", "response_format"},
  };
  for (const Bad& bad : kBad) {
    const ApiError error = bad_completion(Json::parse(bad.fields));
    EXPECT_EQ(error.status, 400) << bad.fields;
    EXPECT_EQ(error.param, bad.param) << bad.fields << ": " << error.message;
  }
}

}  // namespace
}  // namespace ferrum
