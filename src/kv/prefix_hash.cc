#include "kv/prefix_hash.h"

#include <algorithm>
#include <bit>

namespace ferrum {
namespace {

uint64_t load_little_endian(std::span<const std::byte> bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < bytes.size(); ++i) word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  return word;
}

struct SipState {
  uint64_t v0, v1, v2, v3;

  void rounds(int count) {
    for (; count > 0; --count) {
      v0 += v1, v1 = std::rotl(v1, 13) ^ v0, v0 = std::rotl(v0, 32);
      v2 += v3, v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3, v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1, v1 = std::rotl(v1, 17) ^ v2, v2 = std::rotl(v2, 32);
    }
  }
  void absorb(uint64_t word) {
    v3 ^= word;
    rounds(2);
    v0 ^= word;
  }
  uint64_t squeeze() {
    rounds(4);
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

}  // namespace

PrefixHash siphash128(std::span<const std::byte> bytes, const PrefixHash& key) {
  SipState s{key.low ^ 0x736f6d6570736575u, key.high ^ 0x646f72616e646f6du ^ 0xee, key.low ^ 0x6c7967656e657261u,
             key.high ^ 0x7465646279746573u};
  const size_t size = bytes.size();
  for (; bytes.size() >= 8; bytes = bytes.subspan(8)) s.absorb(load_little_endian(bytes.first(8)));
  s.absorb(load_little_endian(bytes) | (static_cast<uint64_t>(size) << 56));
  s.v2 ^= 0xee;
  PrefixHash hash;
  hash.low = s.squeeze();
  s.v1 ^= 0xdd;
  hash.high = s.squeeze();
  return hash;
}

PrefixChain::PrefixChain(const PrefixHash& key, std::string_view salt, int block_size)
    : key_(key), last_(siphash128(std::as_bytes(std::span(salt)), key)), block_size_(static_cast<size_t>(block_size)) {}

// What is hashed: the hash before, the block's ids, the rows of its embeddings. Which positions have rows, the ids say,
// so two different blocks are never the same bytes.
std::vector<PrefixHash> PrefixChain::extend(const InputText& text) {
  std::vector<PrefixHash> added;
  if (block_size_ == 0) return added;
  std::vector<std::byte> input;
  const auto append = [&input](std::span<const std::byte> bytes) {
    input.insert(input.end(), bytes.begin(), bytes.end());
  };
  size_t row = text.rows_before(hashed_);
  for (; hashed_ + block_size_ <= text.tokens.size(); hashed_ += block_size_) {
    const std::span<const TokenId> block = text.tokens.subspan(hashed_, block_size_);
    const auto rows = static_cast<size_t>(std::ranges::count(block, kNoToken));
    input.clear();
    append(std::as_bytes(std::span(&last_, 1)));
    append(std::as_bytes(block));
    append(std::as_bytes(text.rows(row, rows)));
    row += rows;
    last_ = siphash128(input, key_);
    added.push_back(last_);
  }
  return added;
}

}  // namespace ferrum
