#include "kv/draft_kv.h"

#include <algorithm>

#include "base/check.h"

namespace ferrum {

DraftKv::DraftKv(int num_blocks, int block_size)
    : block_size_(block_size), filled_(static_cast<size_t>(num_blocks), 0) {
  FERRUM_CHECK(num_blocks >= 1 && block_size >= 1, "a pool of nothing");
}

void DraftKv::overwritten(std::span<const BlockId> table, int begin, int end) {
  for (int p = begin; p < end; p = (p / block_size_ + 1) * block_size_) {
    int& slots = filled(table[static_cast<size_t>(p / block_size_)]);
    slots = std::min(slots, p % block_size_);
  }
}

void DraftKv::computed(std::span<const BlockId> table, int begin, int end) {
  for (int p = begin; p < end; p = (p / block_size_ + 1) * block_size_) {
    int& slots = filled(table[static_cast<size_t>(p / block_size_)]);
    const int first = p / block_size_ * block_size_;
    slots = std::max(slots, std::min(end - first, block_size_));
  }
}

int DraftKv::first_kept(std::span<const BlockId> table) const {
  const auto kept = std::find_if(table.begin(), table.end(), [](BlockId block) { return block != kNoBlock; });
  return static_cast<int>(kept - table.begin()) * block_size_;
}

int DraftKv::length(std::span<const BlockId> table, int limit) const {
  int at = first_kept(table);
  while (at < limit) {
    const int slots = filled(table[static_cast<size_t>(at / block_size_)]);
    at += slots;
    if (slots < block_size_) break;
  }
  return std::min(at, limit);
}

}  // namespace ferrum
