#include "kv/prefix_index.h"

#include "base/check.h"

namespace ferrum {

std::optional<BlockId> PrefixIndex::find(const PrefixHash& hash) const {
  const auto it = blocks_.find(hash);
  if (it == blocks_.end()) return std::nullopt;
  return it->second;
}

bool PrefixIndex::is_idle(BlockId block) const {
  const auto it = entries_.find(block);
  return it != entries_.end() && it->second.place.has_value();
}

bool PrefixIndex::insert(const PrefixHash& hash, BlockId block) {
  if (holds(block) || !blocks_.emplace(hash, block).second) return false;
  entries_.emplace(block, Entry{hash, std::nullopt});
  return true;
}

void PrefixIndex::erase(BlockId block) {
  const auto it = entries_.find(block);
  FERRUM_CHECK(it != entries_.end() && !it->second.place, "only an indexed block in use loses its name");
  blocks_.erase(it->second.hash);
  entries_.erase(it);
}

void PrefixIndex::set_idle(BlockId block) {
  Entry& entry = entries_.at(block);
  FERRUM_CHECK(!entry.place, "an indexed block is let go twice");
  entry.place = idle_.insert(idle_.end(), block);
}

void PrefixIndex::set_busy(BlockId block) {
  Entry& entry = entries_.at(block);
  FERRUM_CHECK(entry.place.has_value(), "an indexed block in use comes back");
  idle_.erase(*entry.place);
  entry.place.reset();
}

void PrefixIndex::erase_idle(BlockId block) {
  set_busy(block);
  erase(block);
}

std::vector<BlockId> PrefixIndex::clear() {
  std::vector<BlockId> idle(idle_.begin(), idle_.end());
  blocks_.clear();
  entries_.clear();
  idle_.clear();
  return idle;
}

BlockId PrefixIndex::evict() {
  FERRUM_CHECK(!idle_.empty(), "no indexed block is idle");
  const BlockId block = idle_.front();
  erase_idle(block);
  return block;
}

std::vector<std::string> PrefixIndex::violations() const {
  std::vector<std::string> found;
  if (blocks_.size() != entries_.size()) found.push_back("the prefix index has names without blocks");
  size_t idle = 0;
  for (const auto& [block, entry] : entries_) {
    const std::string who = "indexed block " + std::to_string(block);
    const auto it = blocks_.find(entry.hash);
    if (it == blocks_.end() || it->second != block) found.push_back(who + " is not found by its name");
    if (!entry.place) continue;
    ++idle;
    if (**entry.place != block) found.push_back(who + " stands at another's place");
  }
  if (idle != idle_.size()) found.push_back("blocks are listed as idle that are not");
  return found;
}

}  // namespace ferrum
