// Input embeddings at /v1/completions, and /v1/embeddings, over a fake engine whose hidden size is 4.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "apps/server/base64.h"
#include "apps/server/safetensors_for_test.h"
#include "apps/server/service_harness_for_test.h"

namespace ferrum {
namespace {

const std::vector<float> kTwoRows = {1, 2, 3, 4, 5, 6, 7, 8};

std::string encoded(const std::string& file) { return to_base64(std::as_bytes(std::span(file))); }
std::string two_rows() { return encoded(safetensors("F32", {2, 4}, bytes_of_numbers(kTwoRows))); }

class PromptEmbedsTest : public ServiceTest {
 protected:
  PromptEmbedsTest() { options_.limits.prompt_embeds = true; }
  Answered complete_embeds(const std::string& value, const std::string& more = "") {
    return call("POST", "/v1/completions", R"({"prompt_embeds":)" + value + (more.empty() ? "" : "," + more) + "}");
  }
  static std::string quote(const std::string& text) { return "\"" + text + "\""; }
  void expect_refused(const Answered& answer, const std::string& param, const std::string& words) {
    EXPECT_EQ(answer.status, 400) << words;
    EXPECT_EQ(answer.json()["error"]["param"], param) << answer.body;
    EXPECT_NE(answer.body.find(words), std::string::npos) << answer.body;
  }
};

TEST_F(ServiceTest, PromptEmbedsAreRefusedUnlessSwitchedOn) {
  const Answered answer = call("POST", "/v1/completions", R"({"prompt_embeds":")" + two_rows() + "\"}");
  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.json()["error"]["param"], "prompt_embeds");
  EXPECT_NE(answer.body.find("--enable-prompt-embeds"), std::string::npos);
  EXPECT_TRUE(engine_.submitted().empty());
}

TEST_F(PromptEmbedsTest, ReachTheEngineAsRowsWithoutTokens) {
  const Answered answer = complete_embeds(quote(two_rows()), R"("prompt":"","max_tokens":3,"logprobs":1)");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["choices"][0]["text"], "abc");
  EXPECT_EQ(answer.json()["choices"][0]["logprobs"]["text_offset"].dump(), "[0,1,2]");
  EXPECT_EQ(answer.json()["usage"]["prompt_tokens"], 2);
  const Request request = engine_.submitted().at(0);
  EXPECT_EQ(request.prompt, std::vector<TokenId>(2, kNoToken));
  ASSERT_NE(request.embeddings, nullptr);
  EXPECT_EQ(*request.embeddings, kTwoRows);
  EXPECT_EQ(request.hidden, HiddenStates::kNone);
}

TEST_F(PromptEmbedsTest, SeveralMakeSeveralPromptsWithNChoicesEach) {
  const std::string one = encoded(safetensors("F32", {1, 4}, bytes_of_numbers({9, 9, 9, 9})));
  const Answered answer = complete_embeds("[" + quote(two_rows()) + "," + quote(one) + "]", R"("prompt":null,"n":2)");
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["choices"].size(), 4u);
  EXPECT_EQ(answer.json()["usage"]["prompt_tokens"], 3);
  EXPECT_EQ(engine_.submitted().at(1).embeddings->size(), 4u);
}

TEST_F(PromptEmbedsTest, StreamLikeAnyOther) {
  const Answered answer = complete_embeds(quote(two_rows()), R"("stream":true)");
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.body.ends_with("data: [DONE]\n\n"));
  EXPECT_GT(answer.events().size(), 3u);
}

TEST_F(PromptEmbedsTest, EverythingElseIsRefusedWithItsPlace) {
  const std::string good = quote(two_rows());
  expect_refused(complete_embeds(good, R"("prompt":"text")"), "prompt", "exclude each other");
  expect_refused(complete_embeds(good, R"("prompt":[1,2])"), "prompt", "exclude each other");
  expect_refused(complete_embeds(good, R"("echo":true)"), "echo", "echo needs a prompt");
  expect_refused(complete_embeds("7"), "prompt_embeds", "must be a string of base64, not an integer");
  expect_refused(complete_embeds("[]"), "prompt_embeds", "1 to 256 entries, got 0");
  expect_refused(complete_embeds("[" + good + ",null]"), "prompt_embeds[1]", "must be a string of base64");
  expect_refused(complete_embeds(quote("a+b")), "prompt_embeds", "base64");
  expect_refused(complete_embeds(quote(encoded("PK\x03\x04 an archive"))), "prompt_embeds", "torch.save");
  const std::string wide = encoded(safetensors("F32", {1, 8}, bytes_of_numbers(kTwoRows)));
  expect_refused(complete_embeds("[" + good + "," + quote(wide) + "]"), "prompt_embeds[1]", "shape is [1, 8]");
  const std::string infinite = encoded(safetensors("F32", {1, 4}, bytes_of_numbers({1, 2, HUGE_VALF, 4})));
  expect_refused(complete_embeds(quote(infinite)), "prompt_embeds", "NaN or infinite at [0, 2]");
  const std::string many = encoded(safetensors("F32", {4096, 4}, std::string(4096 * 16, '\0')));
  const Answered beyond = complete_embeds(quote(many));
  expect_refused(beyond, "prompt_embeds", "context is 4096 tokens");
  EXPECT_EQ(beyond.json()["error"]["code"], "context_length_exceeded");
  EXPECT_TRUE(engine_.submitted().empty());
}

// --- /v1/embeddings ---

class EmbeddingsTest : public ServiceTest {
 protected:
  Answered embed(const std::string& input, const std::string& more = "") {
    return call("POST", "/v1/embeddings", R"({"input":)" + input + (more.empty() ? "" : "," + more) + "}");
  }
};

TEST_F(EmbeddingsTest, HaveOpenAisShapeAndLengthOne) {
  const Answered answer = embed(R"("hi")", R"("model":"alias","user":"me")");
  ASSERT_EQ(answer.status, 200) << answer.body;
  const Json body = answer.json();
  EXPECT_EQ(body["object"], "list");
  EXPECT_EQ(body["model"], "alias");
  EXPECT_EQ(body["usage"].dump(), R"({"prompt_tokens":3,"total_tokens":3})");  // <s>hi
  ASSERT_EQ(body["data"].size(), 1u);
  EXPECT_EQ(body["data"][0]["object"], "embedding");
  EXPECT_EQ(body["data"][0]["index"], 0);
  const auto row = body["data"][0]["embedding"].get<std::vector<float>>();
  EXPECT_EQ(row, (std::vector<float>{0.6f, 0.8f, 0, 0}));
  const Request request = engine_.submitted().at(0);
  EXPECT_EQ(request.hidden, HiddenStates::kPostNorm);
  EXPECT_EQ(request.hidden_of, HiddenPositions::kLast);
  EXPECT_EQ(request.stop.max_tokens, 0);
}

TEST_F(EmbeddingsTest, PoolingNormalizeAndEncodingAreObeyed) {
  EXPECT_EQ(embed(R"("hi")", R"("pooling":"mean")").json()["data"][0]["embedding"].get<std::vector<float>>(),
            (std::vector<float>{0, 0, 0.6f, 0.8f}));
  EXPECT_EQ(embed(R"("hi")", R"("normalize":false)").json()["data"][0]["embedding"].dump(), "[3.0,4.0,0.0,0.0]");
  const Json coded = embed(R"("hi")", R"("encoding_format":"base64","dimensions":4)").json();
  const auto bytes = from_base64(coded["data"][0]["embedding"].get<std::string>()).value();
  std::vector<float> row(4);
  ASSERT_EQ(bytes.size(), 16u);
  std::memcpy(row.data(), bytes.data(), 16);
  EXPECT_EQ(row, (std::vector<float>{0.6f, 0.8f, 0, 0}));
}

TEST_F(EmbeddingsTest, TakeEveryFormOfInputInOrder) {
  for (const char* input : {R"(["a","bc"])", "[[256,97],[256,98,99]]"}) {
    const Answered answer = embed(input);
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(answer.json()["data"].size(), 2u);
    EXPECT_EQ(answer.json()["data"][1]["index"], 1);
    EXPECT_EQ(answer.json()["usage"]["prompt_tokens"], 5);
  }
  EXPECT_EQ(embed("[1,2,3]").json()["usage"]["total_tokens"], 3);
}

TEST_F(EmbeddingsTest, EverythingElseIsRefusedWithItsPlace) {
  const auto expect_refused = [&](const Answered& answer, const std::string& param, const std::string& words) {
    EXPECT_EQ(answer.status, 400) << words;
    EXPECT_EQ(answer.json()["error"]["param"], param) << answer.body;
    EXPECT_NE(answer.body.find(words), std::string::npos) << answer.body;
  };
  expect_refused(call("POST", "/v1/embeddings", "{}"), "input", "input is missing");
  expect_refused(embed("7"), "input", "input must be a string");
  expect_refused(embed("[]"), "input", "not empty");
  expect_refused(embed("[300]"), "input", "vocabulary has 258");
  expect_refused(embed(R"("hi")", R"("dimensions":2)"), "dimensions", "have 4 and are not shortened");
  expect_refused(embed(R"("hi")", R"("encoding_format":"int8")"), "encoding_format", "\\\"float\\\" or \\\"base64\\\"");
  expect_refused(embed(R"("hi")", R"("pooling":"cls")"), "pooling", "not \\\"cls\\\"");
  expect_refused(embed(R"("hi")", R"("stream":true)"), "stream", "stream");
  expect_refused(embed("\"" + std::string(4096, 'x') + "\""), "input", "context is 4096");
  EXPECT_EQ(embed(R"("hi")", R"("model":"other")").status, 404);
  EXPECT_EQ(call("GET", "/v1/embeddings").status, 405);
  EXPECT_TRUE(engine_.submitted().empty());
}

TEST_F(EmbeddingsTest, NeedTheKey) {
  options_.access.api_keys = {"secret"};
  EXPECT_EQ(embed(R"("hi")").status, 401);
}

}  // namespace
}  // namespace ferrum
