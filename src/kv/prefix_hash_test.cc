#include "kv/prefix_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <numeric>
#include <set>

namespace ferrum {
namespace {

PrefixHash from_bytes(const std::array<uint8_t, 16>& bytes) {
  PrefixHash h;
  for (size_t i = 0; i < 8; ++i) {
    h.low |= uint64_t{bytes[i]} << (8 * i);
    h.high |= uint64_t{bytes[8 + i]} << (8 * i);
  }
  return h;
}

// Vectors of the authors: key 00 01 .. 0f, input 00 01 02 .. of each length.
TEST(SipHash128, EqualsThePublishedVectors) {
  std::array<uint8_t, 16> key_bytes{};
  std::iota(key_bytes.begin(), key_bytes.end(), uint8_t{0});
  const PrefixHash key = from_bytes(key_bytes);
  const std::array<uint8_t, 16> none = {0xa3, 0x81, 0x7f, 0x04, 0xba, 0x25, 0xa8, 0xe6,
                                        0x6d, 0xf6, 0x72, 0x14, 0xc7, 0x55, 0x02, 0x93};
  const std::array<uint8_t, 16> one = {0xda, 0x87, 0xc1, 0xd8, 0x6b, 0x99, 0xaf, 0x44,
                                       0x34, 0x76, 0x59, 0x11, 0x9b, 0x22, 0xfc, 0x45};
  const std::byte zero{0};
  EXPECT_EQ(siphash128({}, key), from_bytes(none));
  EXPECT_EQ(siphash128({&zero, 1}, key), from_bytes(one));
}

std::vector<TokenId> tokens(int count) {
  std::vector<TokenId> t(static_cast<size_t>(count));
  std::iota(t.begin(), t.end(), 5);
  return t;
}

TEST(PrefixChain, HashesEachBlockOnceHoweverTheTextArrives) {
  const std::vector<TokenId> text = tokens(35);
  const auto whole = PrefixChain({1, 2}, "", 4).extend(text);
  ASSERT_EQ(whole.size(), 8u) << "full blocks only";
  PrefixChain chain({1, 2}, "", 4);
  std::vector<PrefixHash> pieces;
  for (size_t n = 0; n <= text.size(); ++n) {
    for (const PrefixHash& h : chain.extend(std::span(text).first(n))) pieces.push_back(h);
  }
  EXPECT_EQ(pieces, whole);
  EXPECT_TRUE(PrefixChain().extend(text).empty());
}

// A hash names the whole text before it, under a key and a salt.
TEST(PrefixChain, DependsOnEveryTokenBeforeOnTheKeyAndOnTheSalt) {
  const std::vector<TokenId> text = tokens(16);
  std::set<std::pair<uint64_t, uint64_t>> last;
  const auto add = [&](const PrefixHash& key, const char* salt, const std::vector<TokenId>& t) {
    const PrefixHash h = PrefixChain(key, salt, 4).extend(t).back();
    EXPECT_TRUE(last.insert({h.low, h.high}).second);
  };
  add({1, 2}, "", text);
  for (size_t i = 0; i < text.size(); ++i) {
    std::vector<TokenId> changed = text;
    ++changed[i];
    add({1, 2}, "", changed);
  }
  add({1, 3}, "", text);
  add({2, 2}, "", text);
  add({1, 2}, "tenant", text);
  add({1, 2}, "tenant2", text);
}

}  // namespace
}  // namespace ferrum
