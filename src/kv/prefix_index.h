// Which block holds which prefix, and which of those blocks nobody uses, in the order in which they were let go.
#pragma once

#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "kv/prefix_hash.h"
#include "types/ids.h"

namespace ferrum {

class PrefixIndex {
 public:
  // The block that holds the prefix.
  std::optional<BlockId> find(const PrefixHash& hash) const;
  // The name of a block; nullptr if it has none.
  const PrefixHash* name(BlockId block) const {
    const auto it = entries_.find(block);
    return it == entries_.end() ? nullptr : &it->second.hash;
  }
  bool holds(BlockId block) const { return entries_.count(block) != 0; }

  // A block in use gets a name; false, and nothing happens, where the block or the name is taken.
  bool insert(const PrefixHash& hash, BlockId block);
  void erase(BlockId block);       // a block in use loses its name
  void erase_idle(BlockId block);  // an idle one does
  // The last user of an indexed block lets go of it; a user comes back.
  void set_idle(BlockId block);
  void set_busy(BlockId block);
  // Forgets all names; what was idle is returned.
  std::vector<BlockId> clear();
  // Forgets the block that is idle longest, of this name; there must be one.
  BlockId evict();
  const PrefixHash& idle_longest() const { return entries_.at(idle_.front()).hash; }

  int size() const { return static_cast<int>(entries_.size()); }
  int idle() const { return static_cast<int>(idle_.size()); }
  bool is_idle(BlockId block) const;
  // Broken invariants as sentences.
  std::vector<std::string> violations() const;

 private:
  struct Entry {
    PrefixHash hash;
    std::optional<std::list<BlockId>::iterator> place;  // in idle_
  };

  std::unordered_map<PrefixHash, BlockId> blocks_;
  std::unordered_map<BlockId, Entry> entries_;
  std::list<BlockId> idle_;  // longest first
};

}  // namespace ferrum
