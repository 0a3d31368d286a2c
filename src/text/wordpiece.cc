// WordPiece with BERT's normalisation (Devlin et al. 2018; tokenization.py of google-research/bert): clean, lower case,
// accents off; split at white space, punctuation and CJK characters; then the longest token first within each word.
// GGUF spells the start of a word as U+2581 and drops the "##" of the other pieces.
#include <algorithm>
#include <string_view>

#include "text/bpe_merge.h"
#include "text/string_index.h"
#include "text/tokenizer_model.h"
#include "text/unicode.h"

namespace ferrum {
namespace {

constexpr std::string_view kWordStart = "\xe2\x96\x81";  // U+2581
constexpr size_t kMaxWordCharacters = 100;               // a longer word is unknown, as in BERT

// The blocks that BERT splits into single characters: unified ideographs, their extensions and compatibility forms.
bool is_cjk_ideograph(char32_t c) {
  return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0xf900 && c <= 0xfaff) ||
         (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2ceaf) || (c >= 0x2f800 && c <= 0x2fa1f);
}

bool stands_alone(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
  return is_punctuation(c) || is_cjk_ideograph(c);
}

// Removed before anything else: NUL, U+FFFD, control and format characters, but not the three that are white space.
bool is_removed(char32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  return c == 0 || c == 0xfffd || is_other(c);
}

class WordPiece final : public TokenizerModelImpl {
 public:
  explicit WordPiece(const TokenizerSpec& spec) : spec_(spec), pieces_(spec.tokens.size()) {
    for (size_t i = 0; i < spec_.tokens.size(); ++i) {
      const std::string& text = spec_.tokens[i];
      const TokenType type = spec_.types[i];
      if (text.empty() || type == TokenType::kControl || type == TokenType::kUnknown) continue;
      pieces_.add(text, static_cast<TokenId>(i));
      longest_ = std::max(longest_, text.size());
    }
  }

  Status encode(std::string_view text, FragmentPosition, std::vector<TokenId>& out) const override {
    std::string cleaned;
    cleaned.reserve(text.size());
    for (size_t i = 0; i < text.size();) {
      const CodePoint c = decode_utf8(text, i);
      if (!is_removed(c.value)) cleaned += text.substr(i, c.length);
      i += c.length;
    }
    if (spec_.strip_accents) cleaned = normalize_nfd(cleaned);

    Word word;
    for (size_t i = 0; i < cleaned.size();) {
      CodePoint c = decode_utf8(cleaned, i);
      i += c.length;
      if (spec_.strip_accents && is_nonspacing_mark(c.value)) continue;
      if (is_white_space(c.value)) {
        FERRUM_RETURN_IF_ERROR(flush(word, out));
        continue;
      }
      if (spec_.lowercase && c.value == 0x130) {  // the one letter whose lower case is two code points
        word.add('i');
        c.value = 0x307;
      }
      if (spec_.lowercase) c.value = to_lower(c.value);
      if (stands_alone(c.value)) {
        FERRUM_RETURN_IF_ERROR(flush(word, out));
        word.add(c.value);
        FERRUM_RETURN_IF_ERROR(flush(word, out));
      } else {
        word.add(c.value);
      }
    }
    return flush(word, out);
  }

  std::string bytes(TokenId token) const override {
    const std::string_view text = spec_.tokens[static_cast<size_t>(token)];
    if (text.substr(0, kWordStart.size()) != kWordStart) return std::string(text);
    std::string word(1, ' ');
    word += text.substr(kWordStart.size());
    return word;
  }

  bool drops_leading_space() const override { return true; }

 private:
  struct Word {
    std::string text;
    size_t characters = 0;
    void add(char32_t c) {
      // Past the limit the word is unknown whatever it holds.
      if (++characters <= kMaxWordCharacters) append_utf8(c, text);
    }
  };

  Status flush(Word& word, std::vector<TokenId>& out) const {
    if (word.characters == 0) return Status::ok();
    const size_t from = out.size();
    std::string marked(kWordStart);
    marked += word.text;
    if (word.characters > kMaxWordCharacters || !match(marked, out)) {
      out.resize(from);
      if (!spec_.unk) {
        return invalid_argument("the model's vocabulary cannot spell a word of the text and has no unknown token");
      }
      out.push_back(*spec_.unk);
    }
    word = {};
    return Status::ok();
  }

  // Longest token first, from left to right; false if some part is no token.
  bool match(std::string_view word, std::vector<TokenId>& out) const {
    for (size_t begin = 0; begin < word.size();) {
      size_t length = std::min(longest_, word.size() - begin);
      TokenId found = -1;
      while (length > 0 && (found = pieces_.find(word.substr(begin, length))) < 0) --length;
      if (length == 0) return false;
      out.push_back(found);
      begin += length;
    }
    return true;
  }

  const TokenizerSpec& spec_;
  StringIndex pieces_;
  size_t longest_ = 0;
};

}  // namespace

Result<std::unique_ptr<TokenizerModelImpl>> make_wordpiece(const TokenizerSpec& spec) {
  return std::unique_ptr<TokenizerModelImpl>(std::make_unique<WordPiece>(spec));
}

}  // namespace ferrum
