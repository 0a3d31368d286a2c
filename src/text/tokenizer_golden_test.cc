// Whole tokenizers against the ids that the models' own tokenizers give.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "io/gguf.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

namespace ferrum {
namespace {

const std::string kShared = FERRUM_SOURCE_DIR "/../shared/testdata";

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  for (size_t at; (at = text.find(separator, begin)) != std::string::npos; begin = at + separator.size()) {
    parts.push_back(text.substr(begin, at - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

std::vector<TokenId> parse_ids(const std::string& line) {
  std::istringstream in(line);
  std::vector<TokenId> ids;
  for (TokenId id; in >> id;) ids.push_back(id);
  return ids;
}

// The vectors that llama.cpp keeps: texts separated by a marker, one line of ids for each; made with the published
// Hugging Face tokenizers.
class LlamaCppVectors : public testing::TestWithParam<std::string> {};

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

}  // namespace
}  // namespace ferrum
