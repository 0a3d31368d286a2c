// The rules around the merging: special tokens, BOS and EOS, ends, decoding, streams, and what a bad file is told.
#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

#include "text/pretokenizer.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_testing.h"
#include "text/unicode.h"

namespace ferrum {
namespace {

using Ids = std::vector<TokenId>;
using testing_data::gpt2_spelling;

struct Added {
  std::string text;
  TokenType type = TokenType::kControl;
};

// The 256 bytes (id = byte), then "ab", then the added tokens from 257 on.
TokenizerSpec byte_spec(const std::vector<Added>& added = {}) {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.tokens.push_back(gpt2_spelling(std::string(1, static_cast<char>(byte))));
  spec.tokens.push_back("ab");
  spec.merges = {"a b"};
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  for (const Added& token : added) {
    spec.tokens.push_back(token.text);
    spec.types.push_back(token.type);
  }
  return spec;
}

// <unk> <s> </s>, the 256 byte tokens, then pieces with scores.
TokenizerSpec sentencepiece_spec(const std::vector<std::pair<std::string, float>>& pieces) {
  TokenizerSpec spec;
  spec.model = TokenizerModel::kSentencePiece;
  spec.tokens = {"<unk>", "<s>", "</s>"};
  spec.types = {TokenType::kUnknown, TokenType::kControl, TokenType::kControl};
  for (int byte = 0; byte < 256; ++byte) {
    char text[8];
    std::snprintf(text, sizeof(text), "<0x%02X>", byte);
    spec.tokens.push_back(text);
    spec.types.push_back(TokenType::kByte);
  }
  spec.scores.assign(spec.tokens.size(), 0);
  for (const auto& [text, score] : pieces) {
    spec.tokens.push_back(text);
    spec.scores.push_back(score);
    spec.types.push_back(TokenType::kNormal);
  }
  spec.unk = 0;
  spec.bos = 1;
  spec.eos = 2;
  spec.add_bos = true;
  spec.space_prefix = SpacePrefix::kEveryFragment;
  return spec;
}

std::shared_ptr<const Tokenizer> make(TokenizerSpec spec) {
  auto made = make_tokenizer(std::move(spec));
  EXPECT_TRUE(made.is_ok()) << made.status().message();
  return made.is_ok() ? *made : nullptr;
}

Ids encode(const Tokenizer& tokenizer, std::string_view text, EncodeOptions options = {false, true}) {
  auto ids = tokenizer.encode(text, options);
  EXPECT_TRUE(ids.is_ok()) << ids.status().message();
  return ids.is_ok() ? *ids : Ids{};
}

TEST(AddedTokens, LeftmostThenLongest) {
  AddedTokenMatcher matcher;
  matcher.add("ab", 1);
  matcher.add("abcd", 2);
  matcher.add("bcd", 3);
  matcher.add("d", 4);
  matcher.add("cde", 5);
  matcher.build();
  const auto tokens = [&](std::string_view text) {
    Ids ids;
    for (const auto& match : matcher.find(text)) ids.push_back(match.token);
    return ids;
  };
  EXPECT_EQ(tokens("abcd"), Ids({2}));
  EXPECT_EQ(tokens("abc"), Ids({1}));
  EXPECT_EQ(tokens("abcabcd"), Ids({1, 2}));
  EXPECT_EQ(tokens("xbcdex"), Ids({3}));
  EXPECT_EQ(tokens("bcde"), Ids({3}));
  EXPECT_EQ(tokens("cdex"), Ids({5}));
  EXPECT_EQ(tokens("ddd"), Ids({4, 4, 4}));
  EXPECT_EQ(tokens(""), Ids({}));
}

TEST(AddedTokens, AgreeWithASearchByHand) {
  std::mt19937 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::string> patterns;
    AddedTokenMatcher matcher;
    for (int i = 0; i < 6; ++i) {
      std::string pattern;
      for (size_t n = 1 + random() % 4; n > 0; --n) pattern += static_cast<char>('a' + random() % 3);
      if (std::find(patterns.begin(), patterns.end(), pattern) != patterns.end()) continue;
      matcher.add(pattern, static_cast<TokenId>(patterns.size()));
      patterns.push_back(pattern);
    }
    matcher.build();
    std::string text;
    for (size_t n = random() % 20; n > 0; --n) text += static_cast<char>('a' + random() % 3);
    Ids wanted, found;
    for (size_t at = 0; at < text.size();) {
      size_t best = patterns.size();
      for (size_t p = 0; p < patterns.size(); ++p) {
        if (text.compare(at, patterns[p].size(), patterns[p]) == 0 &&
            (best == patterns.size() || patterns[p].size() > patterns[best].size())) {
          best = p;
        }
      }
      if (best < patterns.size()) wanted.push_back(static_cast<TokenId>(best));
      at += best < patterns.size() ? patterns[best].size() : 1;
    }
    for (const auto& match : matcher.find(text)) found.push_back(match.token);
    ASSERT_EQ(found, wanted) << text;
  }
}

TEST(Tokenizer, SpecialTokensAreTextUnlessParsed) {
  const auto tokenizer = make(byte_spec({{"<|x|>"}, {"[tool]", TokenType::kUserDefined}}));
  EXPECT_EQ(encode(*tokenizer, "ab<|x|>[tool]"), Ids({256, 257, 258}));
  EXPECT_EQ(encode(*tokenizer, "<|x|>[tool]", {false, false}), Ids({'<', '|', 'x', '|', '>', 258}));
  EXPECT_EQ(tokenizer->find("<|x|>"), 257);
  EXPECT_EQ(tokenizer->find("<|y|>"), std::nullopt);
  EXPECT_TRUE(tokenizer->is_special(257));
  EXPECT_FALSE(tokenizer->is_special(258));
}

TEST(Tokenizer, OrdinaryTextNeverBecomesAControlToken) {
  // Merges and whole-word look-up lead to the spelling of a control token; it stays text all the same.
  TokenizerSpec spec = byte_spec({{"evil"}});
  spec.pre = "llama-bpe";  // takes whole words before merging
  spec.merges = {"e v", "ev i", "evi l"};
  const auto bpe = make(spec);
  EXPECT_EQ(encode(*bpe, "evil", {false, false}), Ids({'e', 'v', 'i', 'l'}));
  EXPECT_EQ(encode(*bpe, "evil", {false, true}), Ids({257}));

  const auto spm =
      make(sentencepiece_spec({{"<s", -1}, {"s>", -2}, {"<", -3}, {"s", -3}, {">", -3}, {"\xe2\x96\x81", -4}}));
  EXPECT_EQ(encode(*spm, "<s>", {false, false}), Ids({264, 259, 263}));
  EXPECT_EQ(encode(*spm, "<s>", {false, true}), Ids({1}));
  EXPECT_EQ(encode(*spm, "<0x41>", {false, false}).size(), 7u) << "byte tokens are not text either";
}

TEST(Tokenizer, StripsWhereTheModelDoes) {
  TokenizerSpec spec = byte_spec({{"<mask>"}, {"<|user|>"}});
  spec.strip_left = {257};
  spec.strip_right = {258};
  const auto tokenizer = make(spec);
  EXPECT_EQ(encode(*tokenizer, "a \n\xe3\x80\x80<mask> b"), Ids({'a', 257, ' ', 'b'}));
  EXPECT_EQ(encode(*tokenizer, "a <|user|> \n\xc2\xa0 b"), Ids({'a', ' ', 258, 'b'}));
  EXPECT_EQ(encode(*tokenizer, "<|user|>  <mask>  <|user|> "), Ids({258, 257, ' ', ' ', 258}));
}

TEST(Tokenizer, BosEosAndSep) {
  TokenizerSpec spec = byte_spec({{"<s>"}, {"</s>"}});
  spec.bos = 257;
  spec.eos = 258;
  EXPECT_EQ(encode(*make(spec), "a", {true, true}), Ids({'a'}));
  spec.add_bos = true;
  EXPECT_EQ(encode(*make(spec), "a", {true, true}), Ids({257, 'a'}));
  spec.add_eos = true;
  EXPECT_EQ(encode(*make(spec), "", {true, true}), Ids({257, 258}));
  EXPECT_EQ(encode(*make(spec), "a", {false, true}), Ids({'a'}));
  EXPECT_TRUE(make(spec)->adds_bos());

  TokenizerSpec bert;
  bert.model = TokenizerModel::kWordPiece;
  bert.tokens = {"[UNK]", "[CLS]", "[SEP]", "\xe2\x96\x81hello"};
  bert.types = {TokenType::kUnknown, TokenType::kControl, TokenType::kControl, TokenType::kNormal};
  bert.unk = 0;
  bert.bos = 1;
  bert.sep = 2;
  bert.add_bos = bert.add_sep = true;
  const auto wordpiece = make(bert);
  EXPECT_EQ(encode(*wordpiece, "Hello \xe4\xbd\xa0 [SEP]", {true, true}), Ids({1, 3, 0, 2, 2}));
  EXPECT_EQ(wordpiece->decode(Ids({1, 3, 3, 2}), false), "hello hello");
}

TEST(Tokenizer, SpacePrefixOfSentencePiece) {
  TokenizerSpec spec = sentencepiece_spec({{"\xe2\x96\x81", -1},
                                           {"a", -2},
                                           {"\xe2\x96\x81"
                                            "a",
                                            -3}});
  const auto always = make(spec);
  EXPECT_EQ(encode(*always, "a"), Ids({261}));
  EXPECT_EQ(encode(*always, "<s>a</s> a"), Ids({1, 261, 2, 259, 261}));
  EXPECT_EQ(always->decode(Ids({261, 261}), false), "a a");
  EXPECT_EQ(always->decode(Ids({1, 261, 261}), false), "a a");
  spec.space_prefix = SpacePrefix::kFirstUnlessSpace;
  EXPECT_EQ(encode(*make(spec), " a<s>a"), Ids({261, 1, 260}));
  spec.space_prefix = SpacePrefix::kNever;
  EXPECT_EQ(encode(*make(spec), "a"), Ids({260}));
  EXPECT_EQ(make(spec)->decode(Ids({261}), false), " a");
}

TEST(Tokenizer, FallsBackToBytesOrUnknown) {
  TokenizerSpec spec = sentencepiece_spec({{"a", -1}});
  spec.space_prefix = SpacePrefix::kNever;
  EXPECT_EQ(encode(*make(spec), "a\xc3\xa9"), Ids({259, 3 + 0xc3, 3 + 0xa9}));
  spec.tokens[3 + 0xa9] = "lost";
  spec.types[3 + 0xa9] = TokenType::kNormal;
  EXPECT_EQ(encode(*make(spec), "a\xc3\xa9"), Ids({259, 0}));
  spec.unk.reset();
  EXPECT_EQ(make(spec)->encode("\xc3\xa9", {}).status().code(), StatusCode::kInvalidArgument);

  TokenizerSpec bpe = byte_spec();
  bpe.tokens['q'] = "";
  EXPECT_EQ(make(bpe)->encode("q", {}).status().code(), StatusCode::kInvalidArgument);
  bpe.unk = 0;
  EXPECT_EQ(encode(*make(bpe), "aqa"), Ids({'a', 0, 'a'}));
}

TEST(Tokenizer, DecodesAnythingItIsGiven) {
  const auto tokenizer = make(byte_spec({{"<|x|>"}}));
  EXPECT_EQ(tokenizer->piece(257, true), "<|x|>");
  EXPECT_EQ(tokenizer->piece(257, false), "");
  for (const TokenId id :
       {-1, 258, 1 << 30, std::numeric_limits<TokenId>::min(), std::numeric_limits<TokenId>::max()}) {
    EXPECT_EQ(tokenizer->piece(id, true), "");
    EXPECT_FALSE(tokenizer->is_special(id));
    EXPECT_FALSE(tokenizer->is_end(id));
  }
  EXPECT_EQ(tokenizer->decode(Ids({-5, 'h', 999, 257, 'i', 0xf0, 0x9f}), false), "hi\xef\xbf\xbd");
}

TEST(Tokenizer, RefusesInvalidUtf8WithItsPlace) {
  const auto ids = make(byte_spec())->encode("abc\xff", {});
  EXPECT_EQ(ids.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(ids.status().message().find("byte 3"), std::string::npos) << ids.status().message();
}

TEST(Tokenizer, EndTokens) {
  TokenizerSpec spec = byte_spec(
      {{"<|im_end|>"}, {"<|endoftext|>", TokenType::kNormal}, {"</s>", TokenType::kNormal}, {"<eos>"}, {"other"}});
  spec.eot = 261;
  const auto tokenizer = make(spec);
  EXPECT_TRUE(tokenizer->is_end(257));
  EXPECT_TRUE(tokenizer->is_end(258));
  EXPECT_TRUE(tokenizer->is_special(258)) << "its type is set right";
  EXPECT_FALSE(tokenizer->is_end(259)) << "ordinary text, not marked as control";
  EXPECT_TRUE(tokenizer->is_end(260));
  EXPECT_TRUE(tokenizer->is_end(261)) << "named by the metadata";
  EXPECT_FALSE(tokenizer->is_end('a'));

  const auto harmony = make(byte_spec({{"<|return|>"}, {"<|call|>"}, {"<|end|>"}}));
  EXPECT_TRUE(harmony->is_end(257));
  EXPECT_TRUE(harmony->is_end(258));
  EXPECT_FALSE(harmony->is_end(259)) << "ends a message only";
  EXPECT_TRUE(make(byte_spec({{"<|end|>"}}))->is_end(257));
}

TEST(Tokenizer, ComposesOnlyWhereThePublishedOneDoes) {
  TokenizerSpec spec = byte_spec();
  spec.pre = "qwen2";
  EXPECT_EQ(make(spec)->decode(encode(*make(spec), "e\xcc\x81"), false), "\xc3\xa9");
  spec.pre = "llama-bpe";
  EXPECT_EQ(make(spec)->decode(encode(*make(spec), "e\xcc\x81"), false), "e\xcc\x81");
}

TEST(TextStream, JoinsToWhatDecodeGives) {
  std::mt19937 random(11);
  const auto bpe = make(byte_spec({{"<|x|>"}}));
  const auto spm = make(sentencepiece_spec({{"\xe2\x96\x81", -1}, {"\xe2\x96\x81\xc3\xa9", -2}}));
  const Ids bytes = {'a',  ' ',  0x80, 0xbf, 0xc2, 0xc0, 0xe0, 0xa0, 0xed,
                     0x9f, 0xf0, 0x90, 0xf4, 0x8f, 0xff, 257,  256,  -1};
  for (int round = 0; round < 5000; ++round) {
    for (const bool with_special : {false, true}) {
      for (const auto& tokenizer : {bpe, spm}) {
        Ids ids;
        for (size_t n = random() % 10; n > 0; --n) {
          const TokenId id = bytes[random() % bytes.size()];
          ids.push_back(tokenizer == bpe || id < 0 ? id
                        : random() % 4 == 0        ? static_cast<TokenId>(random() % 261)
                                                   : id + 3);
        }
        TextStream stream(tokenizer, with_special);
        std::string text;
        for (const TokenId id : ids) {
          const std::string part = stream.push(id);
          EXPECT_FALSE(find_invalid_utf8(part));
          text += part;
        }
        text += stream.finish();
        ASSERT_EQ(text, tokenizer->decode(ids, with_special));
      }
    }
  }
}

TEST(TextStream, KeepsTheSpaceOfAContinuation) {
  const auto spm =
      make(sentencepiece_spec({{"\xe2\x96\x81"
                                "there",
                                -1}}));
  TextStream answer(spm), completion(spm, false, true);
  EXPECT_EQ(answer.push(259), "there");
  EXPECT_EQ(answer.push(259), " there");
  EXPECT_EQ(completion.push(259), " there");
}

void expect_error(const TokenizerSpec& spec, StatusCode code, const std::string& part) {
  const auto made = make_tokenizer(spec);
  ASSERT_FALSE(made.is_ok()) << part;
  EXPECT_EQ(made.status().code(), code) << made.status().message();
  EXPECT_NE(made.status().message().find(part), std::string::npos) << made.status().message();
}

TEST(TokenizerSpec, BadVocabulariesGetAClearError) {
  expect_error(TokenizerSpec{}, StatusCode::kCorrupt, "vocabulary is empty");
  TokenizerSpec spec = byte_spec();
  spec.types.pop_back();
  expect_error(spec, StatusCode::kCorrupt, "256 types for 257 tokens");
  spec = byte_spec({{"ab"}});
  expect_error(spec, StatusCode::kCorrupt, "tokens 256 and 257 are both 'ab'");
  spec = byte_spec();
  spec.eos = 257;
  expect_error(spec, StatusCode::kCorrupt, "257 is outside the vocabulary of 257");
  spec = byte_spec();
  spec.add_bos = true;
  expect_error(spec, StatusCode::kCorrupt, "there is none");
  spec = byte_spec();
  spec.pre = "never-heard-of";
  expect_error(spec, StatusCode::kUnsupported, "unknown pre-tokenizer 'never-heard-of'; known are a.x-4.0, afmoe");
  for (const char* merge : {"ab", "", " ", "a ", " b", "a b c", "a \xff", "\xe4\xbd\xa0 b"}) {
    spec = byte_spec();
    spec.merges.push_back(merge);
    expect_error(spec, StatusCode::kCorrupt, "tokenizer.ggml.merges: merge 1 is");
  }
  spec = byte_spec({{std::string(kMaxTokenBytes + 1, 'x')}});
  expect_error(spec, StatusCode::kUnsupported, "bytes long");
  spec = sentencepiece_spec({{"a", 0}});
  spec.scores[259] = std::numeric_limits<float>::quiet_NaN();
  expect_error(spec, StatusCode::kCorrupt, "token 259 has score NaN");
  spec.scores.pop_back();
  expect_error(spec, StatusCode::kCorrupt, "259 scores for 260 tokens");
  spec = sentencepiece_spec({});
  spec.tokens[10] = "<0xZZ>";
  expect_error(spec, StatusCode::kCorrupt, "byte token 10");
}

TEST(PreTokenizer, EveryNameCompilesAndKeepsTheText) {
  const std::string text = "It's 12345 \xe4\xbd\xa0\xe5\xa5\xbd\r\n\t <x> \xf0\x9f\x98\x80 ABCdef  ";
  for (const std::string_view name : pretokenizer_name_list()) {
    auto made = PreTokenizer::create(*find_pretokenizer(name));
    ASSERT_TRUE(made.is_ok()) << name << ": " << made.status().message();
    std::string joined;
    ASSERT_TRUE(made->split(text,
                            [&joined](std::string_view word) {
                              EXPECT_FALSE(word.empty());
                              joined += word;
                              return Status::ok();
                            })
                    .is_ok());
    EXPECT_EQ(joined, text) << name;
  }
  EXPECT_EQ(find_pretokenizer(""), nullptr);
  EXPECT_EQ(find_pretokenizer("gpt"), nullptr);
}

}  // namespace
}  // namespace ferrum
