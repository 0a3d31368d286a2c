// Small vocabularies of our own against Hugging Face `tokenizers` and Google's sentencepiece
// (tools/make_tokenizer_vectors.py).
#include <gtest/gtest.h>

#include "text/pretokenizer.h"
#include "text/tokenizer_testing.h"

namespace ferrum {
namespace {

using namespace testing_data;
using Ids = std::vector<TokenId>;

void expect_ids(const Tokenizer& tokenizer, const std::string& text, bool parse_special, const Ids& wanted) {
  auto ids = tokenizer.encode(text, {.add_special = false, .parse_special = parse_special});
  ASSERT_TRUE(ids.is_ok()) << ids.status().message();
  EXPECT_EQ(*ids, wanted) << nlohmann::json(text).dump(-1, ' ', true) << (parse_special ? ", parsed" : ", plain");
}

TEST(TokenizerVectors, EveryRegexFamilyCutsAsHuggingFace) {
  const auto data = read_json(kOwn + "/pretokenizer.json");
  ASSERT_EQ(data["families"].size(), 25u);
  for (const auto& [name, rows] : data["families"].items()) {
    const PreTokenizerRecipe* recipe = find_pretokenizer(name);
    ASSERT_NE(recipe, nullptr) << name;
    auto pre_tokenizer = PreTokenizer::create(*recipe);
    ASSERT_TRUE(pre_tokenizer.is_ok()) << pre_tokenizer.status().message();
    for (size_t i = 0; i < data["texts"].size(); ++i) {
      const std::string text = data["texts"][i];
      std::vector<size_t> lengths;
      const Status status = pre_tokenizer->split(text, [&](std::string_view word) {
        lengths.push_back(word.size());
        return Status::ok();
      });
      ASSERT_TRUE(status.is_ok()) << status.message();
      EXPECT_EQ(lengths, rows[i].get<std::vector<size_t>>())
          << name << ": " << nlohmann::json(text).dump(-1, ' ', true);
    }
  }
}

TEST(TokenizerVectors, ByteBpe) {
  const auto data = read_json(kOwn + "/bpe.json");
  for (const auto& [pre, rows] : data["ids"].items()) {
    TokenizerSpec spec;
    spec.pre = pre;
    spec.tokens = data["tokens"].get<std::vector<std::string>>();
    spec.merges = data["merges"].get<std::vector<std::string>>();
    spec.types.assign(spec.tokens.size(), TokenType::kNormal);
    for (const auto& [key, type] :
         {std::pair{"control", TokenType::kControl}, std::pair{"user", TokenType::kUserDefined}}) {
      for (const auto& text : data[key]) {
        spec.tokens.push_back(text);
        spec.types.push_back(type);
      }
    }
    auto tokenizer = make_tokenizer(std::move(spec));
    ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
    for (size_t i = 0; i < rows.size(); ++i) {
      SCOPED_TRACE(pre);
      const std::string text = data["texts"][i];
      expect_ids(**tokenizer, text, true, rows[i].front().get<Ids>());
      expect_ids(**tokenizer, text, false, rows[i].back().get<Ids>());
      if (pre != "qwen2") {  // which composes the text
        EXPECT_EQ((*tokenizer)->decode(rows[i].back().get<Ids>(), true), text);
      }
    }
  }
}

TEST(TokenizerVectors, SentencePiece) {
  for (const auto& data : read_json(kOwn + "/spm.json")) {
    TokenizerSpec spec;
    spec.model = TokenizerModel::kSentencePiece;
    spec.tokens = data["tokens"].get<std::vector<std::string>>();
    spec.scores = data["scores"].get<std::vector<float>>();
    for (const int type : data["types"]) spec.types.push_back(static_cast<TokenType>(type));
    spec.unk = 0;
    spec.space_prefix = data["add_space_prefix"].get<bool>() ? SpacePrefix::kEveryFragment : SpacePrefix::kNever;
    auto tokenizer = make_tokenizer(std::move(spec));
    ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
    for (size_t i = 0; i < data["texts"].size(); ++i) {
      const std::string text = data["texts"][i];
      const Ids ids = data["ids"][i];
      expect_ids(**tokenizer, text, false, ids);
      // sentencepiece swallows the first space either way round; we only where encoding adds one.
      if (data["add_space_prefix"].get<bool>()) {
        EXPECT_EQ((*tokenizer)->decode(ids, false), text);
      }
    }
  }
}

TEST(TokenizerVectors, WordPiece) {
  const auto data = read_json(kOwn + "/wordpiece.json");
  for (const auto& set : data["sets"]) {
    TokenizerSpec spec;
    spec.model = TokenizerModel::kWordPiece;
    spec.tokens = data["tokens"].get<std::vector<std::string>>();
    spec.types.assign(spec.tokens.size(), TokenType::kNormal);
    std::fill_n(spec.types.begin(), 5, TokenType::kControl);
    spec.unk = 1;
    spec.lowercase = set["lowercase"];
    spec.strip_accents = set["strip_accents"];
    auto tokenizer = make_tokenizer(std::move(spec));
    ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
    for (size_t i = 0; i < data["texts"].size(); ++i) {
      SCOPED_TRACE(set["lowercase"].dump() + set["strip_accents"].dump());
      expect_ids(**tokenizer, data["texts"][i], false, set["ids"][i].get<Ids>());
    }
  }
}

}  // namespace
}  // namespace ferrum
