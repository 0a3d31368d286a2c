#include "engine/open_text.h"

#include "io/gguf.h"

namespace ferrum {

Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const std::string& model_path) {
  FERRUM_ASSIGN_OR_RETURN(const auto file, Gguf::open(model_path));
  return Tokenizer::from_gguf(*file);
}

Result<std::shared_ptr<const ChatTemplate>> open_chat_template(const std::string& model_path) {
  FERRUM_ASSIGN_OR_RETURN(const auto file, Gguf::open(model_path));
  FERRUM_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::from_gguf(*file));
  return ChatTemplate::from_gguf(*file, *tokenizer);
}

}  // namespace ferrum
