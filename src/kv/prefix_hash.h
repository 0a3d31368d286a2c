// Names for the contents of KV blocks: equal names mean equal tokens, or equal bytes of the embeddings that stand for
// them, from the start of the text to the block's end.
//
// Each block's hash covers its parent's, so it stands for the whole prefix. The hash is keyed with what no client knows
// and begins with the tenant's salt: nobody can make two texts collide, and one tenant's text is never found by
// another. SipHash-2-4 with 128 bits: Aumasson and Bernstein, "SipHash: a fast short-input PRF", INDOCRYPT 2012.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "types/ids.h"
#include "types/input_text.h"

namespace ferrum {

struct PrefixHash {
  uint64_t low = 0, high = 0;
  bool operator==(const PrefixHash&) const = default;
};

// The hash of any bytes under a key.
PrefixHash siphash128(std::span<const std::byte> bytes, const PrefixHash& key);

// The hashes of one text's full blocks, as it grows.
class PrefixChain {
 public:
  PrefixChain() = default;  // of a text that is not to be found again: it has no hashes
  PrefixChain(const PrefixHash& key, std::string_view salt, int block_size);

  // text: all that is known; begins with that of earlier calls. Returns the hashes of the blocks that became full
  // since. A block of embeddings never has the hash of one of ids: its ids are kNoToken, which no prompt of ids has.
  std::vector<PrefixHash> extend(const InputText& text);

 private:
  PrefixHash key_, last_;
  size_t block_size_ = 0;  // 0 = no hashes
  size_t hashed_ = 0;      // tokens
};

}  // namespace ferrum

template <>
struct std::hash<ferrum::PrefixHash> {
  size_t operator()(const ferrum::PrefixHash& h) const { return h.low; }  // uniform already
};
