// Numbers by text, for vocabularies: a table that is built from hundreds of thousands of texts in some milliseconds.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace ferrum {

// Texts that live as long as the arena, one behind the other.
class TextArena {
 public:
  std::string_view keep(std::string_view text);

 private:
  std::vector<std::unique_ptr<char[]>> chunks_;
  size_t left_ = 0;       // bytes of the last chunk
  char* next_ = nullptr;  // where they begin
};

// How many look-ups ahead of one its memory is best asked for.
inline constexpr size_t kLookAhead = 16;

// Open addressing with linear probing, at most half full. A slot is eight bytes, so that a large vocabulary's table
// stays in the caches; texts are looked at only where 32 bits of their hashes agree. The hash is keyed with a random
// number per process: a file cannot be made to collide.
class StringIndex {
 public:
  explicit StringIndex(size_t expected = 0);

  // -1 if the text is not known.
  int32_t find(std::string_view text) const;
  // Before a find() or add() that comes some look-ups later: fetches the memory that it will want first. A table of a
  // large vocabulary is larger than the nearer caches, and look-ups one by one mostly wait for it.
  void warm(std::string_view text) const;
  bool contains(std::string_view text) const { return find(text) >= 0; }

  // The number the text already has; otherwise it gets `number` (>= 0, used for no other text; small, a table is kept
  // by number). The text must outlive the index, or is copied into the arena if it is new.
  int32_t add(std::string_view text, int32_t number, TextArena* arena = nullptr);

 private:
  struct Slot {
    uint32_t tag = 0;
    int32_t number = -1;
  };
  size_t slot_of(std::string_view text, uint64_t hash) const;
  void grow(size_t slots);

  std::vector<Slot> slots_;
  size_t mask_ = 0, used_ = 0;
  std::vector<std::string_view> texts_;  // by number
};

}  // namespace ferrum
