#include "text/tokenizer.h"

#include <algorithm>

#include "base/check.h"
#include "text/string_index.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_ends.h"
#include "text/tokenizer_model.h"
#include "text/tokenizer_spec.h"
#include "text/unicode.h"

namespace ferrum {
namespace {

enum : uint8_t { kStripsLeft = 1, kStripsRight = 2, kEnds = 4 };

// Byte offset of the end of the white space that starts at `at`.
size_t skip_white_space(std::string_view text, size_t at) {
  while (at < text.size()) {
    const CodePoint c = decode_utf8(text, at);
    if (!is_white_space(c.value)) break;
    at += c.length;
  }
  return at;
}

// Byte offset of the start of the white space that ends at `end`, not before `begin`.
size_t trim_white_space(std::string_view text, size_t begin, size_t end) {
  while (end > begin) {
    size_t at = end - 1;
    while (at > begin && (static_cast<uint8_t>(text[at]) & 0xc0) == 0x80) --at;
    if (!is_white_space(decode_utf8(text, at).value)) break;
    end = at;
  }
  return end;
}

class TokenizerImpl final : public Tokenizer {
 public:
  explicit TokenizerImpl(TokenizerSpec spec) : spec_(std::move(spec)), by_text_(spec_.tokens.size()) {}

  Status prepare() {
    for (size_t i = 0; i < spec_.tokens.size(); ++i) {
      if (i + kLookAhead < spec_.tokens.size()) by_text_.warm(spec_.tokens[i + kLookAhead]);
      if (!spec_.tokens[i].empty()) by_text_.add(spec_.tokens[i], static_cast<TokenId>(i));
    }
    flags_.resize(spec_.tokens.size());
    for (const TokenId id : find_end_tokens(by_text_, spec_)) flag(id) |= kEnds;
    for (const TokenId id : spec_.strip_left) flag(id) |= kStripsLeft;
    for (const TokenId id : spec_.strip_right) flag(id) |= kStripsRight;
    for (size_t i = 0; i < spec_.tokens.size(); ++i) {
      const TokenType type = spec_.types[i];
      const bool special = type == TokenType::kControl || type == TokenType::kUnknown;
      if ((!special && type != TokenType::kUserDefined) || spec_.tokens[i].empty()) continue;
      all_added_.add(spec_.tokens[i], static_cast<TokenId>(i));
      if (!special) user_defined_.add(spec_.tokens[i], static_cast<TokenId>(i));
    }
    all_added_.build();
    user_defined_.build();
    return make_model();
  }

  Result<std::vector<TokenId>> encode(std::string_view text, const EncodeOptions& options) const override {
    if (text.size() > kMaxTextBytes) {
      return invalid_argument("the text is " + std::to_string(text.size()) + " bytes long; the limit is " +
                              std::to_string(kMaxTextBytes));
    }
    if (const auto invalid = find_invalid_utf8(text)) {
      return invalid_argument("the text is not valid UTF-8: byte " + std::to_string(*invalid) + " of " +
                              std::to_string(text.size()));
    }
    std::vector<TokenId> out;
    if (options.add_special && spec_.add_bos) out.push_back(*spec_.bos);
    FERRUM_RETURN_IF_ERROR(encode_text(text, options.parse_special ? all_added_ : user_defined_, out));
    if (options.add_special && spec_.add_sep && spec_.model == TokenizerModel::kWordPiece) out.push_back(*spec_.sep);
    if (options.add_special && spec_.add_eos) out.push_back(*spec_.eos);
    return out;
  }

  std::string piece(TokenId token, bool with_special) const override {
    if (token < 0 || token >= vocab_size()) return "";
    switch (type_of(token)) {
      case TokenType::kControl:
      case TokenType::kUnknown: return with_special ? spec_.tokens[static_cast<size_t>(token)] : "";
      case TokenType::kUserDefined: return spec_.tokens[static_cast<size_t>(token)];
      case TokenType::kNormal:
      case TokenType::kUnused:
      case TokenType::kByte: break;
    }
    return model_->bytes(token);
  }

  std::string decode(std::span<const TokenId> tokens, bool with_special) const override {
    // Not owned: the stream does not outlive this call.
    TextStream stream(std::shared_ptr<const Tokenizer>(std::shared_ptr<const Tokenizer>(), this), with_special);
    std::string text;
    for (const TokenId token : tokens) text += stream.push(token);
    return text + stream.finish();
  }

  int vocab_size() const override { return static_cast<int>(spec_.tokens.size()); }
  bool is_special(TokenId token) const override {
    return token >= 0 && token < vocab_size() && type_of(token) == TokenType::kControl;
  }
  bool is_end(TokenId token) const override {
    return token >= 0 && token < vocab_size() && (flags_[static_cast<size_t>(token)] & kEnds) != 0;
  }
  std::optional<TokenId> bos() const override { return spec_.bos; }
  std::optional<TokenId> eos() const override { return spec_.eos; }
  bool adds_bos() const override { return spec_.add_bos; }
  bool drops_leading_space() const override { return model_->drops_leading_space(); }
  std::optional<TokenId> find(std::string_view text) const override {
    const TokenId found = by_text_.find(text);
    return found < 0 ? std::nullopt : std::optional(found);
  }

 private:
  Status make_model() {
    auto made = spec_.model == TokenizerModel::kByteBpe         ? make_byte_bpe(spec_)
                : spec_.model == TokenizerModel::kSentencePiece ? make_sentencepiece(spec_)
                                                                : make_wordpiece(spec_);
    if (!made.is_ok()) return std::move(made).status();
    model_ = std::move(made).value();
    return Status::ok();
  }

  // Added tokens are cut out first; the model sees the stretches between.
  Status encode_text(std::string_view text, const AddedTokenMatcher& added, std::vector<TokenId>& out) const {
    size_t done = 0;
    FragmentPosition position;
    const auto ordinary = [&](size_t end) -> Status {
      if (end <= done) return Status::ok();
      const Status status = model_->encode(text.substr(done, end - done), position, out);
      position = {false, false};
      return status;
    };
    for (const AddedTokenMatch& match : added.find(text)) {
      if (match.begin < done) continue;  // inside the white space that the one before swallowed
      const uint8_t strips = flags_[static_cast<size_t>(match.token)];
      FERRUM_RETURN_IF_ERROR(
          ordinary((strips & kStripsLeft) != 0 ? trim_white_space(text, done, match.begin) : match.begin));
      out.push_back(match.token);
      position = {false, true};
      done = (strips & kStripsRight) != 0 ? skip_white_space(text, match.end) : match.end;
    }
    return ordinary(text.size());
  }

  TokenType type_of(TokenId token) const { return spec_.types[static_cast<size_t>(token)]; }
  uint8_t& flag(TokenId token) { return flags_[static_cast<size_t>(token)]; }

  TokenizerSpec spec_;
  StringIndex by_text_;         // views into spec_
  std::vector<uint8_t> flags_;  // by token
  AddedTokenMatcher all_added_, user_defined_;
  std::unique_ptr<TokenizerModelImpl> model_;
};

}  // namespace

// The spec must be valid.
static Result<std::shared_ptr<const Tokenizer>> build_tokenizer(TokenizerSpec spec) {
  auto made = std::make_shared<TokenizerImpl>(std::move(spec));
  FERRUM_RETURN_IF_ERROR(made->prepare());
  return std::shared_ptr<const Tokenizer>(std::move(made));
}

Result<std::shared_ptr<const Tokenizer>> make_tokenizer(TokenizerSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate(spec));
  return build_tokenizer(std::move(spec));
}

Result<std::shared_ptr<const Tokenizer>> Tokenizer::from_gguf(const Gguf& file) {
  FERRUM_ASSIGN_OR_RETURN(TokenizerSpec spec, read_tokenizer_spec(file));
  return build_tokenizer(std::move(spec));
}

}  // namespace ferrum
