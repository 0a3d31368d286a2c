// The part of a tokenizer that differs between the families: a stretch of ordinary text to ids, a token to bytes.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/tokenizer_spec.h"

namespace ferrum {

// Where in the whole text a stretch of ordinary text stands.
struct FragmentPosition {
  bool first = true;          // nothing, not even a special token, is before it
  bool after_special = true;  // the text begins here or a special token is before it
};

// One longer word than this is refused (kCapacity): merging it would need gigabytes.
inline constexpr size_t kMaxWordBytes = 32 << 20;

class TokenizerModelImpl {
 public:
  virtual ~TokenizerModelImpl() = default;
  // Appends the ids of text, which is valid UTF-8 and not empty.
  virtual Status encode(std::string_view text, FragmentPosition position, std::vector<TokenId>& out) const = 0;
  // The bytes of an ordinary token (kNormal, kUnused, kByte).
  virtual std::string bytes(TokenId token) const = 0;
  virtual bool drops_leading_space() const { return false; }
};

// The spec must be valid, and outlive the model.
Result<std::unique_ptr<TokenizerModelImpl>> make_byte_bpe(const TokenizerSpec& spec);
Result<std::unique_ptr<TokenizerModelImpl>> make_sentencepiece(const TokenizerSpec& spec);
Result<std::unique_ptr<TokenizerModelImpl>> make_wordpiece(const TokenizerSpec& spec);

// The token `bytes` spells as "<0xNN>", or -1.
int parse_byte_token(std::string_view text);

}  // namespace ferrum
