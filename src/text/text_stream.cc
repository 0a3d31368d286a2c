#include "text/tokenizer.h"
#include "text/unicode.h"

namespace ferrum {

TextStream::TextStream(std::shared_ptr<const Tokenizer> tokenizer, bool with_special, bool continues_text)
    : tokenizer_(std::move(tokenizer)), with_special_(with_special), first_(!continues_text) {}

std::string TextStream::push(TokenId token) {
  const std::string piece = tokenizer_->piece(token, with_special_);
  std::string_view bytes = piece;
  if (first_ && !bytes.empty()) {
    first_ = false;
    if (tokenizer_->drops_leading_space() && bytes.front() == ' ') bytes.remove_prefix(1);
  }
  std::string out;
  append_repaired_utf8(bytes, pending_, out);
  return out;
}

std::string TextStream::finish() {
  std::string out;
  finish_repaired_utf8(pending_, out);
  return out;
}

}  // namespace ferrum
