// Byte-level BPE: the text is cut into words, each word's bytes are merged by rank.
#include <optional>

#include "base/quote.h"
#include "text/bpe_vocab.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace ferrum {
namespace {

class ByteBpe final : public TokenizerModelImpl {
 public:
  ByteBpe(const TokenizerSpec& spec, const PreTokenizerRecipe& recipe, PreTokenizer pre_tokenizer, BpeVocab vocab)
      : spec_(spec), recipe_(recipe), pre_tokenizer_(std::move(pre_tokenizer)), vocab_(std::move(vocab)) {}

  Status encode(std::string_view text, FragmentPosition, std::vector<TokenId>& out) const override {
    std::string composed;
    if (recipe_.nfc && !is_surely_nfc(text)) {
      composed = normalize_nfc(text);
      text = composed;
    }
    Session session{{}, {}, out};
    return pre_tokenizer_.split(text, [&](std::string_view word) { return encode_word(word, session); });
  }

  std::string bytes(TokenId token) const override {
    const std::string& spelling = spec_.tokens[static_cast<size_t>(token)];
    if (spec_.types[static_cast<size_t>(token)] == TokenType::kByte) {
      if (const int byte = parse_byte_token(spelling); byte >= 0) return std::string(1, static_cast<char>(byte));
    }
    // Added tokens are spelled literally in some files.
    return bytes_of_gpt2_spelling(spelling).value_or(spelling);
  }

 private:
  struct Session {
    PairMerger merger;
    WordCache cache;
    std::vector<TokenId>& out;
  };

  Status encode_word(std::string_view word, Session& session) const {
    if (session.cache.append_known(word, session.out)) return Status::ok();
    const size_t from = session.out.size();
    FERRUM_RETURN_IF_ERROR(merge_word(word, session));
    session.cache.remember(word, session.out, from);
    return Status::ok();
  }

  Status merge_word(std::string_view word, Session& session) const {
    if (recipe_.ignore_merges && word.size() <= kMaxTokenBytes) {
      if (const TokenId whole = vocab_.token_of(word); whole >= 0) {
        session.out.push_back(whole);
        return Status::ok();
      }
    }
    if (word.size() > kMaxWordBytes) {
      return capacity_exceeded("the text has a word of " + std::to_string(word.size()) + " bytes; the limit is " +
                               std::to_string(kMaxWordBytes));
    }
    session.merger.clear();
    for (const char c : word) session.merger.add(vocab_.byte_symbol(static_cast<uint8_t>(c)), 1);
    session.merger.run(
        [this](const MergeSymbol& left, const MergeSymbol& right) { return vocab_.merge(left.id, right.id); });

    Status status;
    session.merger.for_each([&](const MergeSymbol& symbol) {
      if (const TokenId token = vocab_.token(symbol.id); token >= 0) {
        session.out.push_back(token);
      } else if (status.is_ok()) {
        status = spell_out(word.substr(symbol.begin, symbol.length), session.out);
      }
    });
    return status;
  }

  // What merges made but the vocabulary does not have, byte by byte.
  Status spell_out(std::string_view bytes, std::vector<TokenId>& out) const {
    for (const char c : bytes) {
      TokenId token = vocab_.token(vocab_.byte_symbol(static_cast<uint8_t>(c)));
      if (token < 0 && spec_.unk) token = *spec_.unk;
      if (token < 0) {
        return invalid_argument("the model's vocabulary has no token for byte " +
                                std::to_string(static_cast<uint8_t>(c)) + " and no unknown token; it is in " +
                                quoted(bytes, 40) + ". Leave it out of the text");
      }
      out.push_back(token);
    }
    return Status::ok();
  }

  const TokenizerSpec& spec_;
  const PreTokenizerRecipe& recipe_;
  PreTokenizer pre_tokenizer_;
  BpeVocab vocab_;
};

}  // namespace

Result<std::unique_ptr<TokenizerModelImpl>> make_byte_bpe(const TokenizerSpec& spec) {
  const PreTokenizerRecipe* recipe = find_pretokenizer(spec.pre);
  FERRUM_CHECK(recipe != nullptr, "validate() lets no unknown pre-tokenizer through");
  FERRUM_ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::create(*recipe));
  FERRUM_ASSIGN_OR_RETURN(BpeVocab vocab, BpeVocab::create(spec));
  return std::unique_ptr<TokenizerModelImpl>(
      std::make_unique<ByteBpe>(spec, *recipe, std::move(pre_tokenizer), std::move(vocab)));
}

}  // namespace ferrum
