// Text to token ids and back, as the checkpoint defines it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "types/ids.h"

namespace ferrum {

class Gguf;

struct EncodeOptions {
  bool add_special = true;    // BOS / EOS / CLS / SEP where the model wants them
  bool parse_special = true;  // "<|im_end|>" in the text becomes its token; false: it is plain text
};

// Immutable after construction; all methods may be called from any thread.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // From the metadata of a GGUF file. Unknown model or pre-tokenizer names are kUnsupported, never guessed.
  static Result<std::shared_ptr<const Tokenizer>> from_gguf(const Gguf& file);

  // Text must be valid UTF-8 (kInvalidArgument with the byte offset otherwise).
  virtual Result<std::vector<TokenId>> encode(std::string_view text, const EncodeOptions& options) const = 0;

  // The raw bytes a token stands for; they need not be whole characters. "" for ids outside the vocabulary. Control
  // tokens give their text only when with_special is set.
  virtual std::string piece(TokenId token, bool with_special) const = 0;
  // The text of a whole sequence; bytes that are not UTF-8 become U+FFFD.
  virtual std::string decode(std::span<const TokenId> tokens, bool with_special) const = 0;

  virtual int vocab_size() const = 0;
  virtual bool is_special(TokenId token) const = 0;  // control tokens
  virtual bool is_end(TokenId token) const = 0;      // EOS, EOT, EOM, ...: generation stops
  virtual std::optional<TokenId> bos() const = 0;
  virtual std::optional<TokenId> eos() const = 0;
  virtual bool adds_bos() const = 0;
  // The text of a whole sequence begins without the space that its first piece has (SentencePiece, WordPiece).
  virtual bool drops_leading_space() const { return false; }
  // The token with exactly this text ("<|im_end|>"), if there is one.
  virtual std::optional<TokenId> find(std::string_view text) const = 0;
};

// Joins pieces into text that is always whole UTF-8 characters: the bytes of an unfinished character wait for the next
// token. All that push() and finish() return, joined, is what decode() gives for the same tokens; only when the tokens
// continue a text (the completion of a raw prompt) their leading space belongs to it, and is kept.
class TextStream {
 public:
  explicit TextStream(std::shared_ptr<const Tokenizer> tokenizer, bool with_special = false,
                      bool continues_text = false);
  std::string push(TokenId token);  // what became final
  std::string finish();             // what was still waiting, invalid bytes as U+FFFD

 private:
  std::shared_ptr<const Tokenizer> tokenizer_;
  bool with_special_;
  bool first_ = true;
  std::string pending_;
};

}  // namespace ferrum
