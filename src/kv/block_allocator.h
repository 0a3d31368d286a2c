// Which block of the paged KV pool belongs to which sequence. Host bookkeeping only: it knows ids and counts, no bytes.
//
// Paging of the KV cache: Kwon et al., "Efficient Memory Management for Large Language Model Serving with
// PagedAttention", SOSP 2023. Not thread-safe: the engine guards it together with the scheduler.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "types/ids.h"

namespace ferrum {

// A sequence and the number of tokens it has (or shall have) in the cache.
struct Growth {
  SeqId seq = 0;
  int tokens = 0;
};

// What a reserve() changed. Keep it until the step has run: drop it to commit, or hand it to rollback().
struct [[nodiscard]] KvReservation {
  std::vector<Growth> before;  // lengths of the grown sequences as they were
};

class BlockAllocator {
 public:
  BlockAllocator(int num_blocks, int block_size);

  // Lengthens each named sequence to `tokens` (not shorter than it is; each named once; an unknown one starts at 0) and
  // gives it the blocks it lacks. All of it, or kCapacity and nothing is changed.
  Result<KvReservation> reserve(std::span<const Growth> growths);
  // Back to the lengths before the reservation; none of its sequences may have been changed or released since.
  void rollback(KvReservation reservation);

  // Shortens a sequence to `tokens` and gives back the blocks it no longer reaches into. 0 forgets it.
  void truncate(SeqId seq, int tokens);
  // Forgets a sequence; an unknown one is ignored.
  void release(SeqId seq) { truncate(seq, 0); }
  // Starts the unknown sequence `to` with the first `tokens` of `from`, without copying. Only full blocks can be
  // shared: tokens is a multiple of the block size. A shared block is never written: growing into one is an error of
  // ours (copy-on-write would have to precede it).
  void share(SeqId from, SeqId to, int tokens);

  int num_blocks() const { return static_cast<int>(references_.size()); }
  int free_blocks() const { return static_cast<int>(free_.size()); }
  int used_blocks() const { return num_blocks() - free_blocks(); }
  int block_size() const { return block_size_; }
  int blocks_for(int tokens) const;  // ceil(tokens / block_size)
  int length(SeqId seq) const;       // tokens; 0 if unknown
  int missing(Growth growth) const;  // blocks that reserve() would take for it
  // Block of position p: table(seq)[p / block_size]. Valid until the next change; empty if unknown.
  std::span<const BlockId> table(SeqId seq) const;

  // Every broken invariant as a sentence; empty when all is well. O(blocks + table entries).
  std::vector<std::string> violations() const;

 private:
  struct Entry {
    int tokens = 0;
    std::vector<BlockId> blocks;
  };

  BlockId take();
  void give_back(BlockId block);

  const int block_size_;
  std::vector<BlockId> free_;        // a stack: the block used last is the one most likely still in a cache
  std::vector<int32_t> references_;  // per block: tables that hold it
  std::unordered_map<SeqId, Entry> entries_;
};

}  // namespace ferrum
