// Chat templates around the language: which template is chosen, what it is given, what it is found to understand.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <ctime>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "text/builtin_templates.h"
#include "text/conversation.h"
#include "text/tokenizer.h"

namespace ferrum {
namespace {

using Json = nlohmann::ordered_json;

std::shared_ptr<const ChatTemplate> compile(const std::string& source) {
  auto made = ChatTemplate::compile(source, "<s>", "</s>");
  EXPECT_TRUE(made.is_ok()) << made.status().message();
  return *made;
}

std::string render(const ChatTemplate& chat, const char* messages, const char* tools = "null", bool generate = false,
                   const char* variables = "{}") {
  const auto text = chat.render(Json::parse(messages), Json::parse(tools), generate, Json::parse(variables));
  return text.is_ok() ? *text : "error: " + text.status().message();
}

constexpr char kLoop[] =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% for c in m.tool_calls or [] %}"
    "[{{ c.function.name }} {{ c.function.arguments | tojson }}]{% endfor %}{% endfor %}";

TEST(ChatTemplate, GivesTheTemplateWhatItMayRead) {
  const auto chat = compile(
      "{{ bos_token }}{{ eos_token }}{{ messages | length }}{{ tools is none }}{{ documents is none }}"
      "{{ add_generation_prompt }}{{ enable_thinking }}");
  EXPECT_EQ(render(*chat, R"([{"role": "user", "content": "x"}])", "null", true, R"({"enable_thinking": 5})"),
            "<s></s>1TrueTrueTrue5");
  EXPECT_EQ(render(*compile("{{ tools | tojson }}"), "[]", R"([{"a": 1}])"), R"([{"a": 1}])");
  EXPECT_EQ(render(*compile("{{ bos_token }}"), "[]", "null", false, R"({"bos_token": "B"})"), "B");
}

TEST(ChatTemplate, RefusesWhatIsNoConversation) {
  const auto chat = compile(kLoop);
  EXPECT_EQ(render(*chat, "{}"), "error: messages must be an array");
  EXPECT_EQ(render(*chat, "[1]"), "error: messages[0]: a message must be an object");
  EXPECT_EQ(render(*chat, R"([{"role": "user", "content": "a"}, {"content": "b"}])"),
            "error: messages[1]: a message needs a \"role\" that is a string");
  EXPECT_EQ(render(*chat, R"([{"role": "user", "content": 5}])"),
            "error: messages[0]: content must be a string, an array of parts or null");
  EXPECT_EQ(render(*chat, R"([{"role": "user", "content": "a", "tool_calls": 1}])"),
            "error: messages[0]: tool_calls must be an array");
  EXPECT_EQ(render(*chat, "[]", "5"), "error: tools must be an array");
  EXPECT_EQ(render(*chat, "[]", "null", false, "[]"), "error: template variables must be an object");
  EXPECT_EQ(render(*chat, "[]", "null", false, R"({"messages": []})"),
            "error: the template variable 'messages' is set by the conversation itself");
}

TEST(ChatTemplate, FailuresAreInvalidArguments) {
  for (const char* source : {"{{ raise_exception('no') }}", "{{ a.b }}",
                             "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"}) {
    const auto text = compile(source)->render(Json::array(), nullptr, false, nullptr);
    ASSERT_FALSE(text.is_ok());
    EXPECT_EQ(text.status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(render(*compile("{{ raise_exception('no') }}"), "[]"),
            "error: the chat template refuses this conversation: no");
  const auto broken = ChatTemplate::compile("{% if %}", "", "");
  ASSERT_FALSE(broken.is_ok());
  EXPECT_EQ(broken.status().message(), "given template: line 1, column 7: expected an expression, found '%}'");
}

TEST(Conversation, PartsAreJoinedForTemplatesThatTakeStrings) {
  const auto chat = compile(kLoop);
  EXPECT_TRUE(chat->capabilities().string_content);
  EXPECT_FALSE(chat->capabilities().part_content);
  EXPECT_EQ(
      render(*chat, R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])"),
      "<user>a\nb");
}

TEST(Conversation, PartsStayForTemplatesThatTakeThem) {
  const auto both = compile(
      "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}{{ p.text "
      "}}|"
      "{% endfor %}{% endif %}{% endfor %}");
  EXPECT_TRUE(both->capabilities().string_content && both->capabilities().part_content);
  EXPECT_EQ(
      render(*both, R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}])"),
      "a|b|");
  EXPECT_EQ(render(*both, R"([{"role": "user", "content": "ab"}])"), "ab");
  const auto only =
      compile("{% for m in messages %}{% for p in m['content'] %}{{ p['text'] }}|{% endfor %}{% endfor %}");
  EXPECT_TRUE(!only->capabilities().string_content && only->capabilities().part_content);
  EXPECT_EQ(render(*only, R"([{"role": "user", "content": "ab"}])"), "ab|");
}

TEST(Conversation, SystemTextIsAPartWhereOnlyThatIsTaken) {
  // As Gemma 3 has it.
  const auto chat = compile(
      "{% if messages[0].role == 'system' %}{{ messages[0].content[0].text }}:{% set messages = messages[1:] %}"
      "{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}");
  EXPECT_TRUE(chat->capabilities().system && chat->capabilities().system_parts && chat->capabilities().string_content);
  EXPECT_EQ(render(*chat, R"([{"role": "system", "content": "S"}, {"role": "user", "content": "U"}])"), "S:U");
}

TEST(Conversation, OtherPartsAreRefused) {
  const auto chat = compile(kLoop);
  const Json image =
      Json::parse(R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}])");
  const auto text = chat->render(image, nullptr, false, nullptr);
  ASSERT_FALSE(text.is_ok());
  EXPECT_EQ(text.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(text.status().message(), "messages[0]: content part 1 has the type \"image_url\"; only text is supported");
  EXPECT_EQ(render(*chat, R"([{"role": "user", "content": [{"type": "text"}]}])"),
            "error: messages[0]: content part 0 has no \"text\" that is a string");
  EXPECT_EQ(render(*chat, R"([{"role": "user", "content": ["a"]}])"),
            "error: messages[0]: content part 0 must be an object with a \"type\"");
}

constexpr char kCall[] = R"([{"role": "user", "content": "q"}, {"role": "assistant", "content": null, "tool_calls":
    [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": [1, \"é\"]}"}}]}])";

TEST(Conversation, ArgumentsBecomeWhatTheTemplateTakes) {
  EXPECT_EQ(render(*compile(kLoop), kCall), "<user>q<assistant>[f {\"a\": [1, \"é\"]}]");
  // A template that puts them into the text as they are wants the string.
  const auto text = compile(
      "{% for m in messages %}{% for c in m.tool_calls or [] %}{{ c.function.name + c.function.arguments }}{% endfor "
      "%}{% endfor %}");
  EXPECT_TRUE(text->capabilities().tool_calls);
  EXPECT_FALSE(text->capabilities().object_arguments);
  EXPECT_EQ(render(*text, kCall), "f{\"a\": [1, \"é\"]}");
  Json as_object = Json::parse(kCall);
  as_object[1]["tool_calls"][0]["function"]["arguments"] = {{"a", 1}};
  EXPECT_EQ(*text->render(as_object, nullptr, false, nullptr), "f{\"a\":1}");
  // What is no JSON object stays as the model wrote it.
  Json broken = Json::parse(kCall);
  broken[1]["tool_calls"][0]["function"]["arguments"] = "{oops";
  EXPECT_EQ(*compile(kLoop)->render(broken, nullptr, false, nullptr), "<user>q<assistant>[f \"{oops\"]");
}

TEST(Conversation, NullContentIsEmptyWhereItWouldPrint) {
  const auto prints = compile(kLoop);  // would print "None"
  EXPECT_FALSE(prints->capabilities().null_content);
  EXPECT_EQ(render(*prints, kCall).find("None"), std::string::npos);
  const auto checks = compile(
      "{% for m in messages %}{{ 'nothing' if m.content is none else m.content }}{% for c in m.tool_calls or [] %}"
      "{{ c.function | tojson }}{% endfor %}{% endfor %}");
  EXPECT_TRUE(checks->capabilities().null_content);
  EXPECT_TRUE(render(*checks, kCall).starts_with("qnothing{"));
}

TEST(Conversation, DeveloperIsSystemWhereItIsUnknown) {
  EXPECT_EQ(render(*compile(kLoop), R"([{"role": "developer", "content": "x"}])"), "<system>x");
  const auto knows = compile(
      "{% for m in messages %}{% if m.role in ['developer', 'user'] %}{{ m.role ~ m.content }}{% endif %}{% endfor %}");
  EXPECT_TRUE(knows->capabilities().developer);
  EXPECT_FALSE(knows->capabilities().system);
  EXPECT_EQ(render(*knows, R"([{"role": "developer", "content": "x"}])"), "developerx");
}

TEST(Capabilities, AreFoundByRendering) {
  const auto loop = compile(kLoop);
  EXPECT_TRUE(loop->capabilities().system && loop->capabilities().tool_calls && loop->capabilities().object_arguments);
  EXPECT_FALSE(loop->capabilities().tools);
  const auto tools = compile(
      "{% for t in tools or [] %}{{ t.function.name }}{% endfor %}{% for m in messages %}"
      "{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}{{ m.content }}{% endfor %}");
  EXPECT_TRUE(tools->capabilities().tools && tools->capabilities().string_content);
  EXPECT_FALSE(tools->capabilities().system || tools->capabilities().tool_calls);
}

TEST(Capabilities, ProbingAHostileTemplateIsShort) {
  const std::clock_t start = std::clock();  // of this process: the machine may be busy
  const auto chat = compile("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}");
  EXPECT_FALSE(chat->capabilities().string_content);
  EXPECT_LT(std::clock() - start, 20 * CLOCKS_PER_SEC);  // 0.3 s; a thread sanitizer needs ten times as much
}

TEST(Builtin, EachWritesItsFamilysFormat) {
  const char* chat = R"([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"},
                         {"role": "assistant", "content": "A"}, {"role": "user", "content": "R"}])";
  const std::vector<std::pair<const char*, const char*>> expected = {
      {"chatml",
       "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\nA<|im_end|>\n"
       "<|im_start|>user\nR<|im_end|>\n<|im_start|>assistant\n"},
      {"llama-3",
       "B<|start_header_id|>system<|end_header_id|>\n\nS<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nQ"
       "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nA<|eot_id|><|start_header_id|>user"
       "<|end_header_id|>\n\nR<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
      {"gemma",
       "B<start_of_turn>user\nS\n\nQ<end_of_turn>\n<start_of_turn>model\nA<end_of_turn>\n<start_of_turn>user\nR"
       "<end_of_turn>\n<start_of_turn>model\n"},
      {"phi-3",
       "<|system|>\nS<|end|>\n<|user|>\nQ<|end|>\n<|assistant|>\nA<|end|>\n<|user|>\nR<|end|>\n<|assistant|>\n"},
      {"zephyr", "<|system|>\nSE\n<|user|>\nQE\n<|assistant|>\nAE\n<|user|>\nRE\n<|assistant|>\n"},
      {"llama-2", "B[INST] <<SYS>>\nS\n<</SYS>>\n\nQ [/INST] A EB[INST] R [/INST]"},
      {"mistral", "B[INST] S\n\nQ[/INST] AE[INST] R[/INST]"},
      {"plain", "system: S\nuser: Q\nassistant: A\nuser: R\nassistant:"},
  };
  EXPECT_EQ(expected.size(), builtin_templates().size());
  for (const auto& [name, text] : expected) {
    ChatTemplateOptions options;
    options.bos_token = "B";
    options.eos_token = "E";
    const auto made = ChatTemplate::builtin(name, options);
    ASSERT_TRUE(made.is_ok()) << name;
    EXPECT_EQ((*made)->source_name(), "built-in " + std::string(name));
    EXPECT_TRUE((*made)->capabilities().system) << name;
    EXPECT_EQ(render(**made, chat, "null", true), text) << name;
  }
  const auto unknown = ChatTemplate::builtin("nope", {});
  EXPECT_EQ(unknown.status().code(), StatusCode::kNotFound);
  EXPECT_NE(unknown.status().message().find("chatml, llama-3"), std::string::npos);
}

// A vocabulary-only file of the SentencePiece kind with these special tokens.
std::shared_ptr<const Gguf> file_with(std::vector<std::string> tokens,
                                      const std::map<std::string, std::string>& strings) {
  tokens.insert(tokens.begin(), {"<unk>", "<s>", "</s>"});
  std::vector<int32_t> types(tokens.size(), 3);
  std::vector<float> scores(tokens.size(), 0.0F);
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof(name), "<0x%02X>", static_cast<unsigned>(byte));
    tokens.push_back(name);
    types.push_back(6);
    scores.push_back(0.0F);
  }
  GgufWriter writer;
  writer.set_string("general.architecture", "llama");
  writer.set_string("tokenizer.ggml.model", "llama");
  writer.set_strings("tokenizer.ggml.tokens", tokens);
  writer.set_float32s("tokenizer.ggml.scores", scores);
  writer.set_int32s("tokenizer.ggml.token_type", types);
  writer.set_uint32("tokenizer.ggml.bos_token_id", 1);
  writer.set_uint32("tokenizer.ggml.eos_token_id", 2);
  for (const auto& [key, value] : strings) writer.set_string(key, value);
  auto bytes = writer.to_bytes();
  EXPECT_TRUE(bytes.is_ok()) << bytes.status().message();
  std::vector<GgufSource> sources;
  sources.push_back(GgufSource::from_vector("test.gguf", *std::move(bytes)));
  auto file = Gguf::from_sources(std::move(sources));
  EXPECT_TRUE(file.is_ok()) << file.status().message();
  return *file;
}

std::shared_ptr<const ChatTemplate> open(const Gguf& file) {
  const auto tokenizer = Tokenizer::from_gguf(file);
  EXPECT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  const auto chat = ChatTemplate::from_gguf(file, **tokenizer);
  EXPECT_TRUE(chat.is_ok()) << chat.status().message();
  return *chat;
}

TEST(FromGguf, TakesTheFilesTemplateAndTokens) {
  const auto chat = open(*file_with({}, {{"tokenizer.chat_template", "{{ bos_token }}|{{ eos_token }}"}}));
  EXPECT_EQ(chat->source_name(), "tokenizer.chat_template");
  EXPECT_EQ(chat->source(), "{{ bos_token }}|{{ eos_token }}");
  EXPECT_EQ(render(*chat, "[]"), "<s>|</s>");
}

TEST(FromGguf, TakesTheToolTemplateWhereToolsAreGiven) {
  const auto chat = open(
      *file_with({}, {{"tokenizer.chat_template", "plain"},
                      {"tokenizer.chat_template.tool_use", "{{ tools | map(attribute='function.name') | join }}"}}));
  EXPECT_TRUE(chat->capabilities().tools);
  EXPECT_EQ(render(*chat, "[]"), "plain");
  EXPECT_EQ(render(*chat, "[]", "[]"), "plain");
  EXPECT_EQ(render(*chat, "[]", R"([{"function": {"name": "f"}}])"), "f");
}

TEST(FromGguf, FallsBackToTheFamilyOfTheVocabulary) {
  EXPECT_EQ(open(*file_with({}, {}))->source_name(), "built-in plain");
  EXPECT_EQ(open(*file_with({"<|im_start|>", "<|im_end|>"}, {}))->source_name(), "built-in chatml");
  const auto chat = open(*file_with({"[INST]", "[/INST]"}, {{"tokenizer.chat_template", ""}}));
  EXPECT_EQ(chat->source_name(), "built-in mistral");
  EXPECT_EQ(render(*chat, R"([{"role": "user", "content": "x"}])"), "<s>[INST] x[/INST]");
}

TEST(FromGguf, ABrokenTemplateIsAnErrorAndNoGuess) {
  const auto file = file_with({}, {{"tokenizer.chat_template", "{% for %}"}});
  const auto chat = ChatTemplate::from_gguf(*file, **Tokenizer::from_gguf(*file));
  ASSERT_FALSE(chat.is_ok());
  EXPECT_EQ(chat.status().message(),
            "tokenizer.chat_template: line 1, column 8: expected a name to assign to, found '%}'");
}

std::string chosen(std::set<std::string, std::less<>> tokens) {
  return std::string(choose_builtin_template([&](std::string_view token) { return tokens.contains(token); }).name);
}

TEST(Builtin, IsChosenByTheTokensOfTheVocabulary) {
  EXPECT_EQ(chosen({"<|im_start|>", "<|im_end|>", "<|user|>"}), "chatml");
  EXPECT_EQ(chosen({"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"}), "llama-3");
  EXPECT_EQ(chosen({"<start_of_turn>", "<end_of_turn>"}), "gemma");
  EXPECT_EQ(chosen({"<|user|>", "<|assistant|>", "<|end|>"}), "phi-3");
  EXPECT_EQ(chosen({"<|user|>", "<|assistant|>"}), "zephyr");
  EXPECT_EQ(chosen({"[INST]", "[/INST]"}), "mistral");
  EXPECT_EQ(chosen({"[INST]", "[/INST]", "<<SYS>>"}), "llama-2");
  EXPECT_EQ(chosen({"<s>", "</s>", "<|im_start|>"}), "plain");
}

}  // namespace
}  // namespace ferrum
