// Whole published vocabularies against the ids that the models' own tokenizers give. The vocabularies are not in the
// repository; tokenizer_vectors_test.cc shows the same with small ones that are.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "io/gguf.h"
#include "text/tokenizer_testing.h"

namespace ferrum {
namespace {

using namespace testing_data;

std::vector<TokenId> parse_ids(const std::string& line) {
  std::istringstream in(line);
  std::vector<TokenId> ids;
  for (TokenId id; in >> id;) ids.push_back(id);
  return ids;
}

// The vectors that llama.cpp keeps: texts separated by a marker, one line of ids for each; made with the published
// Hugging Face tokenizers.
void expect_all_pairs(const Tokenizer& tokenizer, const std::string& stem) {
  const auto texts = split(read_file(stem + ".inp"), "\n__ggml_vocab_test__\n");
  const auto lines = split(read_file(stem + ".out"), "\n");
  ASSERT_EQ(texts.size(), 47u);  // the last is what follows the last marker
  int equal = 0;
  for (size_t i = 0; i < 46; ++i) {
    auto ids = tokenizer.encode(texts[i], {.add_special = false, .parse_special = false});
    ASSERT_TRUE(ids.is_ok()) << ids.status().message();
    EXPECT_EQ(*ids, parse_ids(lines[i])) << "text " << i << ": " << texts[i];
    equal += *ids == parse_ids(lines[i]);
  }
  EXPECT_EQ(equal, 46);
}

class LlamaCppVectors : public testing::TestWithParam<std::string> {};

TEST_P(LlamaCppVectors, AllPairsAreEqual) {
  const std::string stem = kShared + "/tokenizers/llama.cpp-vocab/ggml-vocab-" + GetParam() + ".gguf";
  if (!std::filesystem::exists(stem)) GTEST_SKIP() << stem << " is not there";
  auto file = Gguf::open(stem);
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  auto tokenizer = Tokenizer::from_gguf(**file);
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  expect_all_pairs(**tokenizer, stem);
}

INSTANTIATE_TEST_SUITE_P(Vocabularies, LlamaCppVectors,
                         testing::Values("gpt-2", "llama-spm", "phi-3", "starcoder", "falcon", "bert-bge"),
                         [](const auto& parameter) {
                           std::string name = parameter.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(TokenizerGolden, Qwen2FromTiktokenRanks) {
  const std::string stem = kShared + "/tokenizers/llama.cpp-vocab/ggml-vocab-qwen2.gguf";
  const std::string ranks = kShared + "/tokenizers/qwen/qwen.tiktoken";
  if (!std::filesystem::exists(ranks)) GTEST_SKIP() << ranks << " is not there";
  auto tokenizer = make_tokenizer(spec_of_tiktoken(ranks, "qwen2"));
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  EXPECT_EQ((*tokenizer)->vocab_size(), 151643);
  expect_all_pairs(**tokenizer, stem);
}

// The vectors are of Hugging Face's tokenizer.json of Mistral 7B v0.3 (their tokenizer_sha256 names it), whose pieces
// are those of mistral_instruct_tokenizer_240323.model.v3; it differs from SentencePiece in where it puts the dummy
// prefix.
TEST(TokenizerGolden, MistralVectors) {
  const std::string vectors = kShared + "/tokenizer-vectors/vllm.cpp-mistral/encodings.json";
  const std::string model = kShared + "/tokenizers/mistral/mistral_instruct_tokenizer_240323.model.v3";
  if (!std::filesystem::exists(vectors)) GTEST_SKIP() << vectors << " is not there";
  TokenizerSpec spec = spec_of_sentencepiece(model);
  ASSERT_EQ(spec.tokens.size(), 32768u);
  spec.space_prefix = SpacePrefix::kFirstUnlessSpace;
  auto tokenizer = make_tokenizer(std::move(spec));
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  const auto entries = read_json(vectors)["entries"];
  EXPECT_EQ(entries.size(), 45u);
  for (const auto& entry : entries) {
    const std::string text = entry["text"];
    auto ids = (*tokenizer)->encode(text, {.add_special = false, .parse_special = true});
    ASSERT_TRUE(ids.is_ok()) << ids.status().message();
    EXPECT_EQ(*ids, entry["ids"].get<std::vector<TokenId>>()) << text;
    EXPECT_EQ((*tokenizer)->decode(*ids, true), entry["decode"].get<std::string>()) << text;
    auto special = (*tokenizer)->encode(text, {.add_special = true, .parse_special = true});
    ASSERT_TRUE(special.is_ok()) << special.status().message();
    EXPECT_EQ(*special, entry["ids_special"].get<std::vector<TokenId>>()) << text;
  }
}

// What llama.cpp made of the prompts, and the text it printed for the ids that it chose.
TEST(TokenizerGolden, Stories260KPromptsAndAnswers) {
  const std::string model = kShared + "/models/stories260K/stories260K.gguf";
  if (!std::filesystem::exists(model)) GTEST_SKIP() << model << " is not there";
  auto file = Gguf::open(model);
  ASSERT_TRUE(file.is_ok()) << file.status().message();
  auto tokenizer = Tokenizer::from_gguf(**file);
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  for (const char* name : {"bos-only", "once-upon-a-time", "lily", "bytes"}) {
    const auto golden = read_json(kShared + "/goldens/stories260K/" + name + ".json");
    auto ids = (*tokenizer)->encode(golden["prompt"].get<std::string>(), {});
    ASSERT_TRUE(ids.is_ok()) << ids.status().message();
    EXPECT_EQ(*ids, golden["prompt_ids"].get<std::vector<TokenId>>()) << name;
    TextStream stream(*tokenizer, false, true);
    std::string text;
    for (const TokenId id : golden["greedy_ids"]) text += stream.push(id);
    EXPECT_EQ(text + stream.finish(), golden["greedy_text"].get<std::string>()) << name;
  }
}

TEST(TokenizerGolden, SmolLmAgainstHuggingFace) {
  const std::string json = kShared + "/tokenizers/hf-json/litert-smollm/tokenizer.json";
  if (!std::filesystem::exists(json)) GTEST_SKIP() << json << " is not there";
  auto tokenizer = make_tokenizer(spec_of_hf_bpe(json, "smollm"));
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  const auto vectors = read_json(kOwn + "/smollm.json");
  for (size_t i = 0; i < vectors["texts"].size(); ++i) {
    const std::string text = vectors["texts"][i];
    auto ids = (*tokenizer)->encode(text, {.add_special = false, .parse_special = true});
    ASSERT_TRUE(ids.is_ok()) << ids.status().message();
    EXPECT_EQ(*ids, vectors["ids"][i].get<std::vector<TokenId>>()) << text;
    EXPECT_EQ((*tokenizer)->decode(*ids, true), vectors["decoded"][i].get<std::string>()) << text;
  }
}

}  // namespace
}  // namespace ferrum
