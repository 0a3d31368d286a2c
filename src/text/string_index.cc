#include "text/string_index.h"

#include <algorithm>
#include <bit>
#include <random>

#include "base/check.h"

namespace ferrum {
namespace {

constexpr size_t kChunk = size_t{64} << 10;

uint64_t process_key() {
  static const uint64_t key = [] {
    std::random_device device;
    return static_cast<uint64_t>(device()) << 32 | device();
  }();
  return key;
}

// The 128-bit product folded: every bit of either factor reaches the middle of the product.
uint64_t fold(uint64_t a, uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

uint64_t hash_of(std::string_view text) {
  static const uint64_t key = process_key();
  constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;
  uint64_t hash = key ^ text.size() * kStep;
  const char* at = text.data();
  size_t left = text.size();
  for (; left > 8; at += 8, left -= 8) {
    uint64_t eight;
    std::memcpy(&eight, at, sizeof eight);
    hash = fold(hash ^ eight, kStep ^ key);
  }
  uint64_t last = 0;
  if (left > 0) std::memcpy(&last, at, left);
  return fold(hash ^ last, kStep ^ key);
}

uint32_t tag_of(uint64_t hash) { return static_cast<uint32_t>(hash >> 32); }

}  // namespace

std::string_view TextArena::keep(std::string_view text) {
  if (text.size() > left_) {
    left_ = std::max(kChunk, text.size());
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(left_));
    next_ = chunks_.back().get();
  }
  char* const begin = next_;
  std::copy(text.begin(), text.end(), begin);
  next_ += text.size();
  left_ -= text.size();
  return {begin, text.size()};
}

StringIndex::StringIndex(size_t expected) {
  texts_.reserve(expected);
  grow(std::bit_ceil(std::max<size_t>(16, 2 * expected)));
}

// Where the text is, or would go.
size_t StringIndex::slot_of(std::string_view text, uint64_t hash) const {
  for (size_t i = hash & mask_;; i = (i + 1) & mask_) {
    const Slot& slot = slots_[i];
    if (slot.number < 0) return i;
    if (slot.tag == tag_of(hash) && texts_[static_cast<size_t>(slot.number)] == text) return i;
  }
}

int32_t StringIndex::find(std::string_view text) const { return slots_[slot_of(text, hash_of(text))].number; }

void StringIndex::warm(std::string_view text) const { __builtin_prefetch(&slots_[hash_of(text) & mask_], 1); }

int32_t StringIndex::add(std::string_view text, int32_t number, TextArena* arena) {
  FERRUM_CHECK(number >= 0, "a text's number");
  const uint64_t hash = hash_of(text);
  Slot& slot = slots_[slot_of(text, hash)];
  if (slot.number >= 0) return slot.number;
  slot = {tag_of(hash), number};
  if (static_cast<size_t>(number) >= texts_.size()) texts_.resize(static_cast<size_t>(number) + 1);
  texts_[static_cast<size_t>(number)] = arena != nullptr ? arena->keep(text) : text;
  if (2 * ++used_ > slots_.size()) grow(2 * slots_.size());
  return number;
}

void StringIndex::grow(size_t slots) {
  std::vector<Slot> before(slots);
  before.swap(slots_);
  mask_ = slots - 1;
  for (const Slot& slot : before) {
    if (slot.number < 0) continue;
    const std::string_view text = texts_[static_cast<size_t>(slot.number)];
    slots_[slot_of(text, hash_of(text))] = slot;
  }
}

}  // namespace ferrum
