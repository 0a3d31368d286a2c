#include "speculation/ngram_index.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"

namespace ferrum {
namespace {

uint64_t process_key() {
  static const uint64_t key = [] {
    std::random_device device;
    return (uint64_t{device()} << 32) | device();
  }();
  return key;
}

uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93u;
  return x ^ (x >> 32);
}

uint64_t hash(std::span<const TokenId> ngram) {
  uint64_t h = process_key() + ngram.size();
  for (const TokenId token : ngram) h = mix(h ^ static_cast<uint32_t>(token));
  return h;
}

std::span<const TokenId> ngram_at(std::span<const TokenId> text, int end, int length) {
  return text.subspan(static_cast<size_t>(end - length), static_cast<size_t>(length));
}

}  // namespace

NgramIndex::NgramIndex(int min, int max) : min_(min), max_(max) {
  FERRUM_CHECK(1 <= min && min <= max, "lengths of n-grams that are checked with the request");
}

void NgramIndex::propose(std::span<const TokenId> text, int count, std::vector<TokenId>& draft) {
  draft.clear();
  extend(text);
  if (slots_.empty()) return;
  const int size = static_cast<int>(text.size());
  for (int length = std::min(max_, size); length >= min_; --length) {
    const int found = find(text, ngram_at(text, size, length)).end;
    if (found == 0) continue;
    for (int i = 0; i < count; ++i) {
      const int from = found + i;
      draft.push_back(from < size ? text[static_cast<size_t>(from)] : draft[static_cast<size_t>(from - size)]);
    }
    return;
  }
}

// The n-grams that end where the text ends stay out until something follows them: they would find themselves.
void NgramIndex::extend(std::span<const TokenId> text) {
  const int last = static_cast<int>(text.size()) - 1;
  for (int end = std::max(indexed_ + 1, min_); end <= last; ++end) {
    for (int length = min_; length <= std::min(max_, end); ++length) insert(text, end, length);
  }
  indexed_ = std::max(indexed_, last);
}

void NgramIndex::insert(std::span<const TokenId> text, int end, int length) {
  if (2 * (used_ + 1) > slots_.size()) grow(text);
  Slot& slot = find(text, ngram_at(text, end, length));
  if (slot.end == 0) ++used_;
  slot = {end, length};  // the most recent one wins
}

void NgramIndex::grow(std::span<const TokenId> text) {
  const size_t size = std::max<size_t>(64, 2 * slots_.size());
  for (const Slot& slot : std::exchange(slots_, std::vector<Slot>(size))) {
    if (slot.end != 0) find(text, ngram_at(text, slot.end, slot.length)) = slot;
  }
}

NgramIndex::Slot& NgramIndex::find(std::span<const TokenId> text, std::span<const TokenId> ngram) {
  const size_t mask = slots_.size() - 1;
  for (size_t i = hash(ngram) & mask;; i = (i + 1) & mask) {
    Slot& slot = slots_[i];
    if (slot.end == 0) return slot;
    if (slot.length != static_cast<int32_t>(ngram.size())) continue;
    if (std::ranges::equal(ngram_at(text, slot.end, slot.length), ngram)) return slot;
  }
}

}  // namespace ferrum
