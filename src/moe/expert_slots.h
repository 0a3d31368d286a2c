// Which experts of a layer are in memory where not all have a place, and which go to make room: docs/moe.md. Only
// numbers; the memory is somebody else's.
//
// The experts of a step are taken in rounds: as many as can be in memory at once, in the order in which they are
// computed. An expert that the step still needs goes only if there is no other way. Else the one goes that was used
// least, where a use counts less the longer ago it was; of equals the one that came last, so that going through
// more experts than there are slots, again and again, leaves most of them where they are.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ferrum {

class ExpertSlots {
 public:
  struct Load {
    int32_t expert = 0;
    int slot = 0;
  };

  // 1 <= num_slots <= num_experts. All slots are empty.
  ExpertSlots(int num_experts, int num_slots);

  // The experts that the step will compute, ascending and each once.
  void begin_step(std::span<const int32_t> active);
  // rest: of those, what was in no round yet. Returns how many from its beginning are the next round, at least one of
  // what is not empty: they keep their slots until the next call. loads(): which of them have to be brought first.
  size_t next_round(std::span<const int32_t> rest);
  std::span<const Load> loads() const { return loads_; }

  int slot_of(int32_t expert) const { return slot_of_[static_cast<size_t>(expert)]; }  // -1: it has none
  int num_slots() const { return static_cast<int>(slots_.size()); }

 private:
  enum class Need : uint8_t { kNone, kLater, kNow };
  struct Slot {
    int32_t expert = -1;
    uint64_t since = 0;
  };
  // The slot to fill, -1 if all are needed (now, or later unless `even_needed`).
  int choose(bool even_needed) const;
  bool goes_before(const Slot& a, const Slot& b) const;

  std::vector<Slot> slots_;
  std::vector<int> slot_of_;  // by expert
  std::vector<double> uses_;  // by expert
  std::vector<Need> need_;    // by expert
  std::vector<int32_t> round_;
  std::vector<Load> loads_;
  uint64_t time_ = 0;
};

}  // namespace ferrum
