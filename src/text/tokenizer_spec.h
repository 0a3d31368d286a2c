// Everything a tokenizer is made from, as plain data: what `tokenizer.ggml.*` of a GGUF file says, checked.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "text/tokenizer.h"
#include "types/ids.h"

namespace ferrum {

enum class TokenizerModel {
  kByteBpe,        // "gpt2": byte-level byte-pair encoding, Sennrich et al. 2016, Radford et al. 2019
  kSentencePiece,  // "llama": SentencePiece BPE with scores and byte fallback, Kudo & Richardson 2018
  kWordPiece,      // "bert": greedy longest match, Schuster & Nakajima 2012, Devlin et al. 2018
};

// Values of tokenizer.ggml.token_type.
enum class TokenType : uint8_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };

// SentencePiece's dummy prefix: where a space is put before the text.
enum class SpacePrefix {
  kNever,
  kEveryFragment,     // before the text and before what follows a special token: GGUF files with add_space_prefix
  kFirstUnlessSpace,  // once, and not before a space: "prepend_scheme": "first" of Hugging Face's Metaspace
};

struct TokenizerSpec {
  TokenizerModel model = TokenizerModel::kByteBpe;
  std::string pre = "default";      // name of the pre-tokenizer; byte-level BPE only
  std::string model_name;           // general.name: some stripping rules hang on it
  std::vector<std::string> tokens;  // text by id, as the file spells it
  std::vector<float> scores;        // SentencePiece: as many as tokens; else empty
  std::vector<TokenType> types;     // as many as tokens
  std::vector<std::string> merges;  // byte-level BPE: "left right", most important first
  std::optional<TokenId> bos, eos, eot, eom, unk, sep, pad, cls, mask;
  bool add_bos = false;
  bool add_eos = false;
  bool add_sep = false;
  SpacePrefix space_prefix = SpacePrefix::kNever;
  bool lowercase = true;      // WordPiece
  bool strip_accents = true;  // WordPiece

  // Special tokens that swallow the white space before / after them (the lstrip and rstrip of published tokenizers).
  std::vector<TokenId> strip_left, strip_right;
};

class Gguf;

// Reads the metadata and fills in what a file of that kind leaves unsaid. kNotFound / kCorrupt / kUnsupported name the
// key and what is wrong with it.
Result<TokenizerSpec> read_tokenizer_spec(const Gguf& file);

// What must hold before a tokenizer can be built: sizes that agree, ids in range, no token twice, finite scores, ...
Status validate(const TokenizerSpec& spec);

// Validates, then builds.
Result<std::shared_ptr<const Tokenizer>> make_tokenizer(TokenizerSpec spec);

// Bounds on what a vocabulary may be, well above all published ones; they keep load time linear in the file's size.
inline constexpr size_t kMaxVocabSize = 4 << 20;
inline constexpr size_t kMaxTokenBytes = 4096;
inline constexpr size_t kMaxSpecialBytes = 16 << 20;  // special tokens together
// One text to encode. A server's own limit is far lower.
inline constexpr size_t kMaxTextBytes = size_t{1} << 30;

}  // namespace ferrum
