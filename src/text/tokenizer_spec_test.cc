// From GGUF metadata to a tokenizer: what a file may leave out, and what it is told when it is wrong.
#include "text/tokenizer_spec.h"

#include <gtest/gtest.h>

#include <functional>

#include "io/gguf.h"
#include "io/gguf_writer.h"
#include "text/tokenizer_testing.h"

namespace ferrum {
namespace {

// The metadata of a small byte-level BPE vocabulary; `change` spoils it.
std::shared_ptr<const Gguf> bpe_file(const std::function<void(GgufWriter&)>& change = {}) {
  GgufWriter writer;
  std::vector<std::string> tokens;
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(testing_data::gpt2_spelling(std::string(1, static_cast<char>(byte))));
  }
  tokens.insert(tokens.end(), {"ab", "<|begin|>", "<|im_end|>"});
  std::vector<int32_t> types(256 + 3, 1);
  types[257] = types[258] = 3;
  writer.set_string("general.architecture", "llama");
  writer.set_string("tokenizer.ggml.model", "gpt2");
  writer.set_string("tokenizer.ggml.pre", "gpt-2");
  writer.set_strings("tokenizer.ggml.tokens", tokens);
  writer.set_int32s("tokenizer.ggml.token_type", types);
  writer.set_strings("tokenizer.ggml.merges", {"a b"});
  if (change) change(writer);
  auto bytes = writer.to_bytes();
  EXPECT_TRUE(bytes.is_ok()) << bytes.status().message();
  std::vector<GgufSource> sources;
  sources.push_back(GgufSource::from_vector("test", std::move(*bytes)));
  auto file = Gguf::from_sources(std::move(sources));
  EXPECT_TRUE(file.is_ok()) << file.status().message();
  return *file;
}

TokenizerSpec read(const std::function<void(GgufWriter&)>& change = {}) {
  auto spec = read_tokenizer_spec(*bpe_file(change));
  EXPECT_TRUE(spec.is_ok()) << spec.status().message();
  return spec.is_ok() ? *spec : TokenizerSpec{};
}

void expect_error(StatusCode code, const std::string& part, const std::function<void(GgufWriter&)>& change) {
  const auto made = Tokenizer::from_gguf(*bpe_file(change));
  ASSERT_FALSE(made.is_ok()) << part;
  EXPECT_EQ(made.status().code(), code) << made.status().message();
  EXPECT_NE(made.status().message().find(part), std::string::npos) << made.status().message();
}

TEST(TokenizerFromGguf, EncodesAndDecodes) {
  auto tokenizer = Tokenizer::from_gguf(*bpe_file());
  ASSERT_TRUE(tokenizer.is_ok()) << tokenizer.status().message();
  const auto ids = (*tokenizer)->encode("cab<|im_end|>", {});
  ASSERT_TRUE(ids.is_ok());
  EXPECT_EQ(*ids, std::vector<TokenId>({'c', 256, 258}));
  EXPECT_TRUE((*tokenizer)->is_end(258));
  EXPECT_FALSE((*tokenizer)->adds_bos());
}

TEST(TokenizerFromGguf, Defaults) {
  EXPECT_EQ(read().bos, std::nullopt);
  EXPECT_FALSE(read().add_bos);
  const auto with_bos = [](GgufWriter& writer) {
    writer.set_string("tokenizer.ggml.pre", "llama-bpe");
    writer.set_uint32("tokenizer.ggml.bos_token_id", 257);
  };
  EXPECT_TRUE(read(with_bos).add_bos) << "the default of this pre-tokenizer";
  EXPECT_FALSE(read([&](GgufWriter& writer) {
                 with_bos(writer);
                 writer.set_bool("tokenizer.ggml.add_bos_token", false);
               }).add_bos);
  EXPECT_EQ(read([](GgufWriter& writer) { writer.set_uint32("tokenizer.ggml.padding_token_id", 0xffffffff); }).pad,
            std::nullopt)
      << "how converters write that there is none";

  const auto spm = read([](GgufWriter& writer) {
    writer.set_string("tokenizer.ggml.model", "llama");
    writer.set_float32s("tokenizer.ggml.scores", std::vector<float>(259, 0.0f));
  });
  EXPECT_EQ(spm.bos, 1);
  EXPECT_EQ(spm.eos, 2);
  EXPECT_TRUE(spm.add_bos);
  EXPECT_EQ(spm.space_prefix, SpacePrefix::kEveryFragment);
}

TEST(TokenizerFromGguf, Phi3StripsBehindItsTokens) {
  const auto spec = read([](GgufWriter& writer) { writer.set_string("general.name", "Phi-3 mini"); });
  EXPECT_EQ(spec.strip_right, std::vector<TokenId>({257, 258}));
}

TEST(TokenizerFromGguf, ErrorsNameKeyAndProblem) {
  using Writer = GgufWriter;
  expect_error(StatusCode::kUnsupported, "tokenizer.ggml.model is 't5'; this build has",
               [](Writer& w) { w.set_string("tokenizer.ggml.model", "t5"); });
  expect_error(StatusCode::kUnsupported, "tokenizer.ggml.pre: unknown pre-tokenizer 'gpt-9'",
               [](Writer& w) { w.set_string("tokenizer.ggml.pre", "gpt-9"); });
  expect_error(StatusCode::kCorrupt, "tokenizer.ggml.eos_token_id: id 259 is outside the vocabulary of 259 tokens",
               [](Writer& w) { w.set_uint32("tokenizer.ggml.eos_token_id", 259); });
  expect_error(StatusCode::kCorrupt, "tokenizer.ggml.add_bos_token: is true, but the file names no such token",
               [](Writer& w) { w.set_bool("tokenizer.ggml.add_bos_token", true); });
  expect_error(StatusCode::kCorrupt, "tokenizer.ggml.token_type: 2 types for 259 tokens", [](Writer& w) {
    w.set_int32s("tokenizer.ggml.token_type", std::vector<int32_t>{1, 1});
  });
  expect_error(StatusCode::kCorrupt, "token 0 has type 9",
               [](Writer& w) { w.set_int32s("tokenizer.ggml.token_type", std::vector<int32_t>(259, 9)); });
  expect_error(StatusCode::kCorrupt, "tokenizer.ggml.merges: merge 0 is 'oops'",
               [](Writer& w) { w.set_strings("tokenizer.ggml.merges", {"oops"}); });
  expect_error(StatusCode::kNotFound, "tokenizer.ggml.scores is missing",
               [](Writer& w) { w.set_string("tokenizer.ggml.model", "llama"); });
  expect_error(StatusCode::kCorrupt, "the vocabulary is empty", [](Writer& w) {
    w.set_strings("tokenizer.ggml.tokens", {});
    w.set_int32s("tokenizer.ggml.token_type", {});
  });
  expect_error(StatusCode::kCorrupt, "tokenizer.ggml.tokens",
               [](Writer& w) { w.set_bool("tokenizer.ggml.tokens", true); });
}

}  // namespace
}  // namespace ferrum
