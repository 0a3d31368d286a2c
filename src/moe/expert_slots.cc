#include "moe/expert_slots.h"

#include <algorithm>

#include "base/check.h"

namespace ferrum {
namespace {

constexpr double kKeptUse = 0.99;  // of a use, a step later: half of it after 69 steps

}  // namespace

ExpertSlots::ExpertSlots(int num_experts, int num_slots)
    : slots_(static_cast<size_t>(num_slots)),
      slot_of_(static_cast<size_t>(num_experts), -1),
      uses_(slot_of_.size(), 0.0),
      need_(slot_of_.size(), Need::kNone) {
  FERRUM_CHECK(num_slots >= 1 && num_slots <= num_experts, "a number of slots between one and that of the experts");
  round_.reserve(slots_.size());
  loads_.reserve(slots_.size());
}

void ExpertSlots::begin_step(std::span<const int32_t> active) {
  std::fill(need_.begin(), need_.end(), Need::kNone);
  round_.clear();
  for (double& uses : uses_) uses *= kKeptUse;
  for (const int32_t expert : active) {
    uses_[static_cast<size_t>(expert)] += 1;
    need_[static_cast<size_t>(expert)] = Need::kLater;
  }
}

size_t ExpertSlots::next_round(std::span<const int32_t> rest) {
  for (const int32_t expert : round_) need_[static_cast<size_t>(expert)] = Need::kNone;
  round_.clear();
  loads_.clear();
  for (const int32_t expert : rest) {
    const auto e = static_cast<size_t>(expert);
    if (slot_of_[e] < 0) {
      const int chosen = choose(round_.empty());
      if (chosen < 0) break;
      Slot& slot = slots_[static_cast<size_t>(chosen)];
      if (slot.expert >= 0) slot_of_[static_cast<size_t>(slot.expert)] = -1;
      slot = {expert, ++time_};
      slot_of_[e] = chosen;
      loads_.push_back({expert, chosen});
    }
    need_[e] = Need::kNow;
    round_.push_back(expert);
  }
  return round_.size();
}

bool ExpertSlots::goes_before(const Slot& a, const Slot& b) const {
  if (a.expert < 0 || b.expert < 0) return a.expert < b.expert;  // an empty one costs nobody anything
  const auto x = static_cast<size_t>(a.expert), y = static_cast<size_t>(b.expert);
  if (need_[x] != need_[y]) return need_[x] < need_[y];
  if (uses_[x] != uses_[y]) return uses_[x] < uses_[y];
  return a.since > b.since;
}

int ExpertSlots::choose(bool even_needed) const {
  int best = -1;
  for (int s = 0; s < num_slots(); ++s) {
    const Slot& slot = slots_[static_cast<size_t>(s)];
    const Need need = slot.expert < 0 ? Need::kNone : need_[static_cast<size_t>(slot.expert)];
    if (need == Need::kNow || (need == Need::kLater && !even_needed)) continue;
    if (best < 0 || goes_before(slot, slots_[static_cast<size_t>(best)])) best = s;
  }
  return best;
}

}  // namespace ferrum
