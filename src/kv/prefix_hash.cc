#include "kv/prefix_hash.h"

#include <bit>
#include <cstring>

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

std::vector<PrefixHash> PrefixChain::extend(std::span<const TokenId> tokens) {
  std::vector<PrefixHash> added;
  if (block_size_ == 0) return added;
  std::vector<std::byte> input(sizeof(PrefixHash) + block_size_ * sizeof(TokenId));
  for (; hashed_ + block_size_ <= tokens.size(); hashed_ += block_size_) {
    std::memcpy(input.data(), &last_, sizeof(PrefixHash));
    std::memcpy(input.data() + sizeof(PrefixHash), tokens.data() + hashed_, block_size_ * sizeof(TokenId));
    last_ = siphash128(input, key_);
    added.push_back(last_);
  }
  return added;
}

}  // namespace ferrum
