// SentencePiece BPE with byte fallback. Spaces are spelled U+2581; neighbouring symbols merge when together they are a
// token, highest score first; what is no token in the end becomes byte tokens.
#include <array>
#include <bit>
#include <string_view>

#include "base/quote.h"
#include "text/bpe_merge.h"
#include "text/string_index.h"
#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace ferrum {
namespace {

constexpr std::string_view kSpaceMark = "\xe2\x96\x81";  // U+2581

std::string escape_spaces(std::string_view text, bool prefix) {
  std::string out;
  out.reserve(text.size() + text.size() / 4 + kSpaceMark.size());
  if (prefix) out += kSpaceMark;
  for (const char c : text) {
    if (c == ' ')
      out += kSpaceMark;
    else
      out += c;
  }
  return out;
}

std::string unescape_spaces(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (text.substr(i, kSpaceMark.size()) == kSpaceMark) {
      out += ' ';
      i += kSpaceMark.size();
    } else {
      out += text[i++];
    }
  }
  return out;
}

// A key that orders floats descending: the highest score has the lowest priority value. Scores are never NaN.
uint32_t priority_of(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // + 0: one zero
  const uint32_t ascending = (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
  return ~ascending;
}

class SentencePiece final : public TokenizerModelImpl {
 public:
  explicit SentencePiece(const TokenizerSpec& spec) : spec_(spec), pieces_(spec.tokens.size()) {}

  Status prepare() {
    byte_tokens_.fill(-1);
    for (size_t i = 0; i < spec_.tokens.size(); ++i) {
      if (i + kLookAhead < spec_.tokens.size()) pieces_.warm(spec_.tokens[i + kLookAhead]);
      const std::string& text = spec_.tokens[i];
      const auto id = static_cast<TokenId>(i);
      const TokenType type = spec_.types[i];
      if (type == TokenType::kByte) {
        const int byte = parse_byte_token(text);
        if (byte < 0) {
          return corrupt("tokenizer.ggml.tokens: byte token " + std::to_string(i) + " is " + quoted(text, 40) +
                         ", not of the form <0x41>");
        }
        byte_tokens_[static_cast<size_t>(byte)] = id;
      } else if ((type == TokenType::kNormal || type == TokenType::kUserDefined) && !text.empty()) {
        pieces_.add(text, id);
        longest_ = std::max(longest_, text.size());
        if (has_inner_word_start(text)) cut_at_words_ = false;
      }
    }
    return Status::ok();
  }

  Status encode(std::string_view text, FragmentPosition position, std::vector<TokenId>& out) const override {
    const bool prefix = spec_.space_prefix == SpacePrefix::kEveryFragment ? position.after_special
                        : spec_.space_prefix == SpacePrefix::kFirstUnlessSpace
                            ? position.first && text.front() != ' ' && text.substr(0, kSpaceMark.size()) != kSpaceMark
                            : false;
    const std::string escaped = escape_spaces(text, prefix);
    const std::string_view all = escaped;
    PairMerger merger;
    WordCache cache;
    size_t begin = 0;
    while (begin < all.size()) {
      const size_t end = cut_at_words_ ? word_end(all, begin) : all.size();
      const std::string_view word = all.substr(begin, end - begin);
      if (!cache.append_known(word, out)) {
        const size_t from = out.size();
        FERRUM_RETURN_IF_ERROR(encode_word(word, merger, out));
        cache.remember(word, out, from);
      }
      begin = end;
    }
    return Status::ok();
  }

  std::string bytes(TokenId token) const override {
    const std::string& text = spec_.tokens[static_cast<size_t>(token)];
    if (spec_.types[static_cast<size_t>(token)] == TokenType::kByte) {
      return std::string(1, static_cast<char>(parse_byte_token(text)));
    }
    return unescape_spaces(text);
  }

  bool drops_leading_space() const override { return spec_.space_prefix != SpacePrefix::kNever; }

 private:
  // A space mark behind something that is none. If no token has that inside, no merge ever spans such a place, and the
  // text can be cut there: the words between are merged alone, with the same result.
  static bool has_inner_word_start(std::string_view token) { return word_end(token, 0) < token.size(); }
  static size_t word_end(std::string_view text, size_t begin) {
    while (text.substr(begin, kSpaceMark.size()) == kSpaceMark) begin += kSpaceMark.size();
    const size_t next = text.find(kSpaceMark, begin);
    return next == std::string_view::npos ? text.size() : next;
  }

  TokenId piece(std::string_view text) const { return pieces_.find(text); }

  Status encode_word(std::string_view word, PairMerger& merger, std::vector<TokenId>& out) const {
    if (word.size() > kMaxWordBytes) {
      return capacity_exceeded("the text has " + std::to_string(word.size()) +
                               " bytes without a place to cut it; the limit is " + std::to_string(kMaxWordBytes));
    }
    merger.clear();
    for (size_t i = 0; i < word.size();) {
      const size_t length = decode_utf8(word, i).length;
      merger.add(piece(word.substr(i, length)), static_cast<uint32_t>(length));
      i += length;
    }
    merger.run([&](const MergeSymbol& left, const MergeSymbol& right) -> std::optional<Merge> {
      const size_t length = left.length + right.length;
      if (length > longest_) return std::nullopt;
      const TokenId id = piece(word.substr(left.begin, length));
      if (id < 0) return std::nullopt;
      return Merge{priority_of(spec_.scores[static_cast<size_t>(id)]), id};
    });
    Status status;
    merger.for_each([&](const MergeSymbol& symbol) {
      if (symbol.id >= 0) {
        out.push_back(symbol.id);
      } else if (status.is_ok()) {
        status = fall_back(word.substr(symbol.begin, symbol.length), out);
      }
    });
    return status;
  }

  // A character outside the vocabulary: its bytes, or else the unknown token.
  Status fall_back(std::string_view character, std::vector<TokenId>& out) const {
    const size_t from = out.size();
    for (const char c : character) {
      const TokenId token = byte_tokens_[static_cast<uint8_t>(c)];
      if (token < 0) {
        out.resize(from);
        if (!spec_.unk) {
          return invalid_argument("the model's vocabulary has no token for " + quoted(character, 8) +
                                  " and no unknown token. Leave it out of the text");
        }
        out.push_back(*spec_.unk);
        return Status::ok();
      }
      out.push_back(token);
    }
    return Status::ok();
  }

  const TokenizerSpec& spec_;
  StringIndex pieces_;  // what text can become
  std::array<TokenId, 256> byte_tokens_{};
  size_t longest_ = 0;
  bool cut_at_words_ = true;
};

}  // namespace

int parse_byte_token(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return -1;
  };
  const int high = digit(text[3]), low = digit(text[4]);
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

Result<std::unique_ptr<TokenizerModelImpl>> make_sentencepiece(const TokenizerSpec& spec) {
  auto model = std::make_unique<SentencePiece>(spec);
  FERRUM_RETURN_IF_ERROR(model->prepare());
  return std::unique_ptr<TokenizerModelImpl>(std::move(model));
}

}  // namespace ferrum
