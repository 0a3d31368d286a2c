// A vocabulary and a text from the fuzzer's bytes: build, encode, decode, stream.
//
// Besides crashes and sanitizer reports, these properties are checked: ids are in range; a stream gives the text that
// decode gives, in whole characters; and byte-level BPE that has every byte and rewrites nothing loses nothing.
#include <fuzzer/FuzzedDataProvider.h>

#include <cstdio>

#include "base/check.h"
#include "text/pretokenizer.h"
#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace ferrum {
namespace {

// A token's text: raw bytes, or some that make merging likely.
std::string draw_text(FuzzedDataProvider& data) {
  static constexpr const char* kUsual[] = {"a",
                                           "b",
                                           "ab",
                                           "\xe2\x96\x81",
                                           "\xe2\x96\x81"
                                           "a",
                                           "\xc4\xa0",
                                           "\xc4\xa0"
                                           "a",
                                           "<s>",
                                           "</s>",
                                           "<0x41>",
                                           "\xe4\xbd\xa0",
                                           "1",
                                           "12",
                                           "'s",
                                           "<|end|>",
                                           "[UNK]"};
  if (data.ConsumeBool()) return data.PickValueInArray(kUsual);
  return data.ConsumeRandomLengthString(12);
}

std::optional<TokenId> draw_id(FuzzedDataProvider& data) {
  if (data.ConsumeBool()) return std::nullopt;
  return data.ConsumeIntegralInRange<TokenId>(-1, 300);
}

void add_all_bytes(TokenizerSpec& spec) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string text;
    if (spec.model == TokenizerModel::kByteBpe) {
      const bool is_itself = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
      const int skipped = byte < '!' ? byte : byte < 0xa1 ? 33 + byte - 0x7f : 67;  // of the bytes before it
      append_utf8(static_cast<char32_t>(is_itself ? byte : 256 + skipped), text);
    } else {
      char spelled[8];
      std::snprintf(spelled, sizeof(spelled), "<0x%02X>", byte);
      text = spelled;
    }
    spec.tokens.push_back(text);
    spec.types.push_back(spec.model == TokenizerModel::kByteBpe ? TokenType::kNormal : TokenType::kByte);
  }
}

TokenizerSpec draw_spec(FuzzedDataProvider& data, bool all_bytes) {
  TokenizerSpec spec;
  spec.model =
      data.PickValueInArray({TokenizerModel::kByteBpe, TokenizerModel::kSentencePiece, TokenizerModel::kWordPiece});
  const auto names = pretokenizer_name_list();
  spec.pre = names[data.ConsumeIntegralInRange<size_t>(0, names.size() - 1)];
  if (all_bytes) add_all_bytes(spec);
  for (int n = data.ConsumeIntegralInRange(0, 24); n > 0; --n) {
    std::string text = draw_text(data);
    if (std::find(spec.tokens.begin(), spec.tokens.end(), text) != spec.tokens.end())
      continue;  // an error, soon boring
    spec.tokens.push_back(std::move(text));
    spec.types.push_back(static_cast<TokenType>(data.ConsumeIntegralInRange(1, 6)));
  }
  for (int n = data.ConsumeIntegralInRange(0, 12); n > 0; --n) {
    spec.merges.push_back(data.ConsumeBool() ? draw_text(data) + " " + draw_text(data) : draw_text(data));
  }
  if (spec.model == TokenizerModel::kSentencePiece) {
    for (size_t i = 0; i < spec.tokens.size(); ++i) {
      spec.scores.push_back(static_cast<float>(data.ConsumeIntegralInRange(-4, 4)));
    }
  }
  for (auto* id : {&spec.bos, &spec.eos, &spec.eot, &spec.unk, &spec.sep}) *id = draw_id(data);
  spec.add_bos = data.ConsumeBool() && spec.bos;
  spec.add_eos = data.ConsumeBool() && spec.eos;
  spec.add_sep = data.ConsumeBool() && spec.sep;
  spec.space_prefix =
      data.PickValueInArray({SpacePrefix::kNever, SpacePrefix::kEveryFragment, SpacePrefix::kFirstUnlessSpace});
  spec.lowercase = data.ConsumeBool();
  spec.strip_accents = data.ConsumeBool();
  return spec;
}

void check_stream(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<TokenId>& ids,
                  bool with_special) {
  TextStream stream(tokenizer, with_special);
  std::string text;
  for (const TokenId id : ids) {
    const std::string part = stream.push(id);
    FERRUM_CHECK(!find_invalid_utf8(part), "a stream gives whole characters");
    text += part;
  }
  text += stream.finish();
  FERRUM_CHECK(text == tokenizer->decode(ids, with_special), "a stream gives what decode gives");
}

void run(FuzzedDataProvider& data) {
  const bool all_bytes = data.ConsumeBool();
  TokenizerSpec spec = draw_spec(data, all_bytes);
  const bool lossless = all_bytes && spec.model == TokenizerModel::kByteBpe && !find_pretokenizer(spec.pre)->nfc;
  auto made = make_tokenizer(std::move(spec));
  if (!made.is_ok()) return;
  const auto& tokenizer = *made;

  std::vector<TokenId> drawn;
  for (int n = data.ConsumeIntegralInRange(0, 20); n > 0; --n) {
    drawn.push_back(data.ConsumeIntegralInRange<TokenId>(-2, tokenizer->vocab_size() + 1));
  }
  check_stream(tokenizer, drawn, data.ConsumeBool());

  const EncodeOptions options{data.ConsumeBool(), data.ConsumeBool()};
  const std::string text = data.ConsumeRemainingBytesAsString();
  const auto ids = tokenizer->encode(text, options);
  if (!ids.is_ok()) return;
  for (const TokenId id : *ids) FERRUM_CHECK(id >= 0 && id < tokenizer->vocab_size(), "an id of the vocabulary");
  check_stream(tokenizer, *ids, true);
  if (lossless && !options.add_special) {
    FERRUM_CHECK(tokenizer->decode(*ids, true) == text, "byte-level BPE loses nothing");
  }
}

}  // namespace
}  // namespace ferrum

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider provider(data, size);
  ferrum::run(provider);
  return 0;
}
