// The chat templates of 97 published GGUF files over a set of conversations: each renders, or refuses with a reason of
// its own (raise_exception), and what reaches the prompt is what was said.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "text/chat_template.h"
#include "text/jinja/globals.h"

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

struct Conversation {
  const char* name;
  const char* messages;
  const char* tools;
  std::vector<const char*> said;  // must all be in the prompt
};

constexpr char kTools[] = R"([{"type": "function", "function": {
  "name": "get_weather", "description": "The weather of a city.",
  "parameters": {"type": "object", "required": ["city"], "properties": {
    "city": {"type": "string", "description": "Name of the city"},
    "days": {"type": "integer", "description": "How many days"}}}}}])";

const std::vector<Conversation>& conversations() {
  static const std::vector<Conversation> kConversations = {
      {"plain", R"([{"role": "user", "content": "QUESTION"}])", "null", {"QUESTION"}},
      {"turns",
       R"([{"role": "user", "content": "FIRST"}, {"role": "assistant", "content": "ANSWER"},
                    {"role": "user", "content": "SECOND"}])",
       "null",
       {"FIRST", "ANSWER", "SECOND"}},
      {"system",
       R"([{"role": "system", "content": "SYSTEM"}, {"role": "user", "content": "QUESTION"}])",
       "null",
       {"QUESTION"}},
      {"parts",
       R"([{"role": "user", "content": [{"type": "text", "text": "PART1"}, {"type": "text", "text": "PART2"}]}])",
       "null",
       {"PART1", "PART2"}},
      {"tools", R"([{"role": "user", "content": "QUESTION"}])", kTools, {"QUESTION"}},
      {"calls",
       R"([{"role": "user", "content": "QUESTION"}, {"role": "assistant", "content": null, "tool_calls": [{"id":
          "abc123456", "type": "function", "function": {"name": "get_weather", "arguments": "{\"city\": \"Paris\"}"}}]},
          {"role": "tool", "tool_call_id": "abc123456", "name": "get_weather", "content": "RESULT"}])",
       kTools,
       {"QUESTION"}},
  };
  return kConversations;
}

// What two of the templates want to be told beside the conversation.
const Json& variables() {
  static const Json kVariables = {{"functions", "FUNCTIONS"}, {"datetime", "DATETIME"}, {"guideline", "GUIDELINE"}};
  return kVariables;
}

// Models that judge the last message drop those before it.
bool is_judge(const std::string& model) {
  return model.find("granite3-guardian") != std::string::npos || model.find("shieldgemma") != std::string::npos;
}

TEST(Corpus, EveryTemplateRendersOrRefusesItself) {
  const std::string path = FERRUM_SOURCE_DIR "/../shared/testdata/templates/hfjs-gguf-template-corpus.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "no " << path;
  std::ifstream file(path);
  const Json corpus = Json::parse(file);
  ASSERT_EQ(corpus.size(), 97u);
  std::map<std::string, int> rendered, refused;
  for (const Json& entry : corpus) {
    const auto chat = ChatTemplate::compile(entry["gguf"], "<s>", "</s>");
    ASSERT_TRUE(chat.is_ok()) << entry["model"] << ": " << chat.status().message();
    for (const Conversation& one : conversations()) {
      const auto text = (*chat)->render(Json::parse(one.messages), Json::parse(one.tools), true, variables());
      if (!text.is_ok()) {
        EXPECT_TRUE(text.status().message().starts_with(jinja::kRaisedPrefix))
            << entry["model"] << ", " << one.name << ": " << text.status().message();
        ++refused[one.name];
        continue;
      }
      ++rendered[one.name];
      for (const char* word : one.said) {
        if (is_judge(entry["model"]) && std::string(one.name) != "plain") continue;
        EXPECT_NE(text->find(word), std::string::npos) << entry["model"] << ", " << one.name << " lost " << word;
      }
      EXPECT_EQ((*chat)->capabilities().tools && one.tools == kTools, text->find("How many days") != std::string::npos)
          << entry["model"] << ", " << one.name;
    }
  }
  for (const Conversation& one : conversations()) {
    std::printf("corpus: %-7s %d rendered, %d refused\n", one.name, rendered[one.name], refused[one.name]);
  }
}

}  // namespace
}  // namespace ferrum
