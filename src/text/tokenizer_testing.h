// What the tokenizer tests share: reading vectors, and vocabularies of other formats as TokenizerSpec.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_spec.h"

namespace ferrum::testing_data {

inline const std::string kShared = FERRUM_SOURCE_DIR "/../shared/testdata";
inline const std::string kOwn = FERRUM_SOURCE_DIR "/tests/data/tokenizer";

std::string read_file(const std::string& path);  // "" if it cannot be read
std::vector<std::string> split(const std::string& text, const std::string& separator);
nlohmann::json read_json(const std::string& path);

// GPT-2's spelling of bytes, the inverse of bytes_of_gpt2_spelling.
std::string gpt2_spelling(std::string_view bytes);

// A .tiktoken file: lines of "base64(token) rank". Its merges are what byte-pair merging by rank, restricted to lower
// ranks, leaves of each token: its last two parts.
TokenizerSpec spec_of_tiktoken(const std::string& path, const std::string& pre);

// A SentencePiece model file (protobuf, sentencepiece_model.proto: field 1 is a piece of text, score and type).
TokenizerSpec spec_of_sentencepiece(const std::string& path);

// The "model" of a Hugging Face tokenizer.json of byte-level BPE, with its added tokens.
TokenizerSpec spec_of_hf_bpe(const std::string& path, const std::string& pre);

}  // namespace ferrum::testing_data
