// The tables of byte-level BPE: symbols (byte strings that merges make), which of them are tokens, and what merges to
// what.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "text/bpe_merge.h"
#include "text/string_index.h"
#include "text/tokenizer_spec.h"

namespace ferrum {

// GPT-2's spelling of bytes as printable characters, undone: the bytes that `text` (UTF-8) spells, nullopt if a
// character in it does not spell a byte. The mapping (Radford et al. 2019, encoder.py): '!'..'~', U+00A1..U+00AC and
// U+00AE..U+00FF are themselves; the other bytes, in order, are U+0100, U+0101, ...
std::optional<std::string> bytes_of_gpt2_spelling(std::string_view text);
// The same, appended; false, with `bytes` grown by something, if a character spells no byte.
bool append_bytes_of_gpt2_spelling(std::string_view text, std::string& bytes);

class BpeVocab {
 public:
  static Result<BpeVocab> create(const TokenizerSpec& spec);

  // The symbol of one byte; every byte has one.
  int32_t byte_symbol(uint8_t byte) const { return byte_symbols_[byte]; }
  // The token of a symbol; -1 if the vocabulary lacks it.
  TokenId token(int32_t symbol) const { return tokens_[static_cast<size_t>(symbol)]; }
  // The token that is exactly these bytes; -1 if there is none.
  TokenId token_of(std::string_view bytes) const;

  std::optional<Merge> merge(int32_t left, int32_t right) const {
    for (size_t slot = hash(left, right);; slot = (slot + 1) & mask_) {
      const Entry& entry = entries_[slot];
      if (entry.left < 0) return std::nullopt;
      if (entry.left == left && entry.right == right) return entry.merge;
    }
  }

 private:
  struct Entry {
    int32_t left = -1, right = -1;
    Merge merge;
  };
  struct SpelledMerge {
    std::string bytes;  // of the left symbol, then of the right one
    size_t left_bytes = 0;
    std::string_view both() const { return bytes; }
    std::string_view left() const { return both().substr(0, left_bytes); }
    std::string_view right() const { return both().substr(left_bytes); }
  };
  size_t hash(int32_t left, int32_t right) const {
    uint64_t x = (static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right)) + seed_;
    x = (x ^ (x >> 31)) * 0x7fb5d329728ea185u;
    x = (x ^ (x >> 27)) * 0x81dadef4bc2dd44du;
    return static_cast<size_t>(x ^ (x >> 33)) & mask_;
  }
  int32_t symbol_of(std::string_view bytes);
  Status add_merges(const TokenizerSpec& spec, size_t rank);  // some, from there on
  static Result<SpelledMerge> spell_merge(std::string_view line, size_t rank);
  void insert(const Entry& merge);

  TextArena texts_;  // of symbols
  StringIndex symbols_;
  std::vector<TokenId> tokens_;  // by symbol
  std::array<int32_t, 256> byte_symbols_{};
  std::vector<Entry> entries_;  // open addressing, at most half full
  size_t mask_ = 0;
  uint64_t seed_ = 0;  // differs per process: a file cannot be made to collide
};

}  // namespace ferrum
