// No text and no vocabulary makes the work more than (nearly) linear. Times are CPU seconds of this process, with much
// room: quadratic work on these inputs takes minutes.
#include <gtest/gtest.h>

#include <ctime>
#include <set>

#include "text/pretokenizer.h"
#include "text/tokenizer_testing.h"

namespace ferrum {
namespace {

using testing_data::gpt2_spelling;

std::string repeat(std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

double seconds_of(const std::function<void()>& work) {
  const std::clock_t start = std::clock();
  work();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// What makes naive matchers of the published regexes rescan: long runs, and runs that fail at their end.
const std::vector<std::string> kUnits = {"a",
                                         "A",
                                         " ",
                                         "\n",
                                         "\r",
                                         "\t",
                                         "1",
                                         "'",
                                         "!",
                                         "\xe4\xbd\xa0",
                                         "\xcc\x81",
                                         "\xc2\xbd",
                                         "\xe0\xb8\x81",
                                         "\xf0\x9f\x98\x80",
                                         " \n",
                                         "a ",
                                         "aA",
                                         "Aa",
                                         "1a",
                                         "a1",
                                         "'s",
                                         "a'",
                                         "\xe4\xbd\xa0\xe3\x80\x82",
                                         " \xcc\x81",
                                         "<sentinel:",
                                         "IMGIMG",
                                         "/\n",
                                         "A\xcc\x81"};

TEST(TokenizerLimits, EveryRegexFamilyIsLinear) {
  std::set<const PreTokenizerStage*> done;
  for (const std::string_view name : pretokenizer_name_list()) {
    const PreTokenizerRecipe* recipe = find_pretokenizer(name);
    if (!done.insert(recipe->stages.data()).second) continue;
    auto made = PreTokenizer::create(*recipe);
    ASSERT_TRUE(made.is_ok()) << made.status().message();
    for (const std::string& unit : kUnits) {
      for (const std::string tail : {"", "5", " x"}) {
        const std::string text = repeat(unit, 1 << 16) + tail;
        size_t bytes = 0;
        const double seconds = seconds_of([&] {
          const Status status = made->split(text, [&bytes](std::string_view word) {
            bytes += word.size();
            return Status::ok();
          });
          EXPECT_TRUE(status.is_ok()) << status.message();
        });
        EXPECT_EQ(bytes, text.size());
        EXPECT_LT(seconds, 2.0) << name << " on " << nlohmann::json(unit) << "..., then " << nlohmann::json(tail);
      }
    }
  }
  EXPECT_GT(done.size(), 25u);
}

TokenizerSpec byte_spec(size_t longest_run) {
  TokenizerSpec spec;
  for (int byte = 0; byte < 256; ++byte) spec.tokens.push_back(gpt2_spelling(std::string(1, static_cast<char>(byte))));
  for (size_t n = 2; n <= longest_run; ++n) {  // a skewed ladder: each merge adds one letter
    spec.merges.push_back(std::string(n - 1, 'a') + " a");
    spec.tokens.push_back(std::string(n, 'a'));
  }
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  return spec;
}

void expect_fast(const Tokenizer& tokenizer, const std::string& text, double limit) {
  const double seconds = seconds_of([&] {
    auto ids = tokenizer.encode(text, {});
    ASSERT_TRUE(ids.is_ok()) << ids.status().message();
    EXPECT_EQ(tokenizer.decode(*ids, true), text);
  });
  EXPECT_LT(seconds, limit);
}

TEST(TokenizerLimits, OneWordOfAMegabyte) {
  TokenizerSpec spec = byte_spec(500);
  spec.pre = "gpt-2";
  auto bpe = make_tokenizer(spec);
  ASSERT_TRUE(bpe.is_ok()) << bpe.status().message();
  expect_fast(**bpe, repeat("a", 1 << 20), 20);
  expect_fast(**bpe, repeat("ab", 1 << 20), 20);
  expect_fast(**bpe, repeat(" ", 1 << 20), 20);

  TokenizerSpec spm;
  spm.model = TokenizerModel::kSentencePiece;
  for (size_t n = 1; n <= 500; ++n) {
    spm.tokens.push_back(std::string(n, 'a'));
    spm.tokens.push_back(repeat("\xe2\x96\x81", n * 3));
    spm.scores.insert(spm.scores.end(), 2, static_cast<float>(n));
  }
  spm.types.assign(spm.tokens.size(), TokenType::kNormal);
  auto sentencepiece = make_tokenizer(spm);
  ASSERT_TRUE(sentencepiece.is_ok()) << sentencepiece.status().message();
  expect_fast(**sentencepiece, repeat("a", 1 << 20), 30);
  expect_fast(**sentencepiece, repeat(" ", 1 << 20), 30);
}

TEST(TokenizerLimits, HostileAddedTokens) {
  // Each place of the text starts a match that fails only at its end.
  TokenizerSpec spec = byte_spec(1);
  spec.pre = "gpt-2";
  for (int i = 0; i < 200; ++i) {
    spec.tokens.push_back(std::string(kMaxTokenBytes - 1, 'a') + static_cast<char>('b' + i % 20) + std::to_string(i));
    if (spec.tokens.back().size() > kMaxTokenBytes)
      spec.tokens.back().erase(0, spec.tokens.back().size() - kMaxTokenBytes);
    spec.types.push_back(TokenType::kControl);
  }
  auto tokenizer = make_tokenizer(spec);
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  expect_fast(**tokenizer, repeat("a", 1 << 20), 20);
}

TEST(TokenizerLimits, TooLongIsAnError) {
  auto made = make_tokenizer([] {
    TokenizerSpec spec = byte_spec(1);
    spec.pre = "gpt-2";
    return spec;
  }());
  ASSERT_TRUE(made.is_ok());
  EXPECT_EQ((*made)->encode(std::string((32 << 20) + 1, 'a'), {}).status().code(), StatusCode::kCapacity);
}

}  // namespace
}  // namespace ferrum
