// The text side of a model file without its weights: `ferrum tokenize`, `ferrum template`.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace ferrum {

// Errors as of opening the file and of the tokenizer. Works for files that hold a vocabulary and nothing else.
Result<std::shared_ptr<const Tokenizer>> open_tokenizer(const std::string& model_path);
Result<std::shared_ptr<const ChatTemplate>> open_chat_template(const std::string& model_path);

}  // namespace ferrum
