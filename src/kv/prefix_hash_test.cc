#include "kv/prefix_hash.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cstring>
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

// Embeddings have names of their own: no block of them has the name of a block of ids, or of one whose embeddings
// differ in a bit or stand elsewhere. Also where a row's bytes are those of the ids.
TEST(PrefixChain, TellsEmbeddingsFromIdsAndFromEachOtherByEveryBit) {
  constexpr size_t kWidth = 3;
  const std::vector<TokenId> ids = tokens(8);
  std::vector<float> rows(8 * kWidth);
  std::memcpy(rows.data(), ids.data(), ids.size() * sizeof(TokenId));
  std::set<std::pair<uint64_t, uint64_t>> last;
  const auto add = [&](const std::vector<TokenId>& t, std::span<const float> r) {
    const PrefixHash h = PrefixChain({1, 2}, "", 4).extend({t, r, kWidth}).back();
    EXPECT_TRUE(last.insert({h.low, h.high}).second);
  };
  add(ids, {});
  const std::vector<TokenId> none(8, kNoToken);
  add(none, rows);
  for (size_t i = 0; i < rows.size(); ++i) {
    std::vector<float> changed = rows;
    changed[i] = std::bit_cast<float>(std::bit_cast<uint32_t>(changed[i]) ^ 1);
    add(none, changed);
  }
  for (size_t at = 0; at < ids.size(); ++at) {  // one row, at each place
    std::vector<TokenId> one = ids;
    one[at] = kNoToken;
    add(one, std::span(rows).first(kWidth));
  }
}

TEST(PrefixChain, HashesEmbeddingsOnceHoweverTheTextArrives) {
  std::vector<TokenId> ids = tokens(20);
  for (const size_t i : {1, 2, 3, 4, 9, 17}) ids[i] = kNoToken;
  std::vector<float> rows(6 * 2);
  std::iota(rows.begin(), rows.end(), 0.5f);
  const auto whole = PrefixChain({1, 2}, "", 4).extend({ids, rows, 2});
  ASSERT_EQ(whole.size(), 5u);
  PrefixChain chain({1, 2}, "", 4);
  std::vector<PrefixHash> pieces;
  for (size_t n = 0; n <= ids.size(); ++n) {
    for (const PrefixHash& h : chain.extend({std::span(ids).first(n), rows, 2})) pieces.push_back(h);
  }
  EXPECT_EQ(pieces, whole);
}

}  // namespace
}  // namespace ferrum
