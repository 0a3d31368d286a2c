// Response objects where the endpoints' tests do not reach: characters split over tokens, offsets under a vocabulary
// that adds a space, text that is not UTF-8, infinite log-probabilities.
#include "apps/server/api_response.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>

#include "apps/server/fake_engine_for_test.h"

namespace ferrum {
namespace {

// As SentencePiece does: token 0 is " Once", 1 is " upon", 2 and 3 are the two bytes of é.
class WordTokenizer : public ByteTokenizer {
 public:
  std::string piece(TokenId token, bool) const override {
    const char* const kPieces[] = {" Once", " upon", "\xC3", "\xA9"};
    return kPieces[token];
  }
};

ResponseMeta meta() { return {.id = "id", .model = "m", .fingerprint = "fp", .created = 1, .usage_in_chunks = false}; }

PositionLogprobs position(TokenId token, float logprob) { return {{token, logprob}, {{token, logprob}}}; }

Event last_event(std::string text, std::vector<TokenId> tokens) {
  Event event;
  event.text = std::move(text);
  for (const TokenId token : tokens) event.logprobs.push_back(position(token, -1));
  event.tokens = std::move(tokens);
  event.finished = true;
  event.reason = FinishReason::kStop;
  return event;
}

TEST(Usage, TellsOfGuessesOnlyWhereThereWereSome) {
  UsageTotals usage;
  usage.prompt_tokens = 4;
  usage.completion_tokens = 10;
  EXPECT_FALSE(to_json(usage).contains("completion_tokens_details"));
  usage.drafted_tokens = 9;
  usage.accepted_tokens = 6;
  const Json json = to_json(usage);
  EXPECT_EQ(json["completion_tokens_details"].dump(),
            R"({"accepted_prediction_tokens":6,"rejected_prediction_tokens":3})");
  EXPECT_EQ(json["total_tokens"], 14);
}

TEST(CompletionFormat, OffsetsFitTheTextWhenTheVocabularyAddsASpace) {
  CompletionFormatOptions options;
  options.prompts = {{"Once upon", {0, 1}}};
  options.echo = true;
  const auto format = make_completion_format(meta(), std::make_shared<WordTokenizer>(), options);
  Event event = last_event(" upon", {1});
  event.prompt_logprobs = {position(1, -2)};
  format->add(0, event);
  const Json choice = format->whole({})["choices"][0];
  EXPECT_EQ(choice["text"], "Once upon upon");
  EXPECT_EQ(choice["logprobs"]["text_offset"].dump(), "[0,4,9]");
  EXPECT_EQ(choice["logprobs"]["token_logprobs"].dump(), "[null,-2.0,-1.0]");
}

TEST(CompletionFormat, HalvesOfACharacterShareItsOffsetAndTheLikelierAlternativeStays) {
  CompletionFormatOptions options;
  options.prompts = {{"", {}}};
  const auto format = make_completion_format(meta(), std::make_shared<WordTokenizer>(), options);
  Event event = last_event("\xC3\xA9", {2, 3});
  event.logprobs[0].top = {{2, -0.5f}, {3, -3.0f}};  // both read U+FFFD
  const std::vector<Json> chunks = format->chunks(0, event);
  ASSERT_EQ(chunks.size(), 1u);
  const Json& logprobs = chunks[0]["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["text_offset"].dump(), "[0,1]");
  EXPECT_EQ(logprobs["top_logprobs"][0].dump(), "{\"\xEF\xBF\xBD\":-0.5}");
}

TEST(ChatFormat, BytesAreExactWhereTextCannotBe) {
  const auto format = make_chat_format(meta(), std::make_shared<WordTokenizer>(), 1);
  format->add(0, last_event("\xC3\xA9", {2, 3}));
  const Json whole = format->whole({});
  const Json& content = whole["choices"][0]["logprobs"]["content"];
  EXPECT_EQ(content[0]["bytes"].dump(), "[195]");
  EXPECT_EQ(content[1]["bytes"].dump(), "[169]");
  EXPECT_EQ(content[0]["token"], "\xEF\xBF\xBD");
  EXPECT_TRUE(Json::accept(dump(whole)));
}

TEST(ChatFormat, ImpossibleTokensHaveAFiniteLogprob) {
  const auto format = make_chat_format(meta(), std::make_shared<WordTokenizer>(), 1);
  Event event = last_event("x", {0});
  event.logprobs[0].chosen.logprob = -INFINITY;
  format->add(0, event);
  EXPECT_EQ(format->whole({})["choices"][0]["logprobs"]["content"][0]["logprob"], -9999.0);
}

TEST(ChatFormat, UndecidedTextMakesNoChunk) {
  const auto format = make_chat_format(meta(), std::make_shared<WordTokenizer>(), 1);
  Event event;
  event.tokens = {2};
  EXPECT_EQ(format->chunks(0, event).size(), 1u) << "the role, once";
  EXPECT_TRUE(format->chunks(0, event).empty());
}

}  // namespace
}  // namespace ferrum
