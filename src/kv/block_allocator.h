// Which block of the paged KV pool belongs to which sequence. Host bookkeeping only: it knows ids and counts, no bytes.
//
// A block is in use (one or more tables hold it), idle (no table does, but the prefix index knows what is in it) or
// empty. Idle blocks count as free: they are taken, the one idle longest first, when no empty one is left.
//
// What an idle block held when it was taken may live on in swap space: further places, outside of the pool, which the
// prefix index knows too. A preempted sequence finds its blocks there. Nothing is in both.
//
// Paging of the KV cache: Kwon et al., "Efficient Memory Management for Large Language Model Serving with
// PagedAttention", SOSP 2023. Not thread-safe: the engine guards it together with the scheduler.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/status.h"
#include "kv/prefix_hash.h"
#include "kv/prefix_index.h"
#include "types/batch.h"
#include "types/ids.h"

namespace ferrum {

// A sequence and the number of tokens it has (or shall have) in the cache.
struct Growth {
  SeqId seq = 0;
  int tokens = 0;
};

// What a reserve() changed. Keep it until the step has run: drop it to commit, or hand it to rollback().
struct [[nodiscard]] KvReservation {
  struct Before {
    SeqId seq = 0;
    int tokens = 0;
    BlockId last = kNoBlock;  // its last block, where tokens are to be written into it
  };
  std::vector<Before> before;     // the grown sequences as they were
  std::vector<BlockCopy> copies;  // to be made before the step writes
};

// The beginning of a text that is in the cache already.
struct PrefixMatch {
  int blocks = 0;   // full ones
  int missing = 0;  // of them, at the front: fell out of the sliding window
  int idle = 0;     // of them: not in use, or swapped out, so that attaching takes as many of the free ones
};

// What must be done to bytes, in this order, for blocks to hold what the allocator says.
struct KvMove {
  enum Kind { kOut, kIn } kind = kOut;
  BlockId block = 0;
  int32_t place = 0;  // in swap space
};

struct PrefixStats {
  uint64_t hits = 0, misses = 0;             // attached sequences that found some of their text, and none
  uint64_t queried_tokens = 0;               // that were looked for, in full blocks
  uint64_t saved_tokens = 0;                 // of them: found, so that they needed no computing
  uint64_t evictions = 0;                    // indexed blocks that were taken for other content
  int entries = 0;                           // indexed blocks
  uint64_t swapped_out = 0, swapped_in = 0;  // blocks
  int swap_entries = 0;                      // places that are taken
};

class BlockAllocator {
 public:
  // window: tokens that a position sees, itself included; 0 = all. swap_places: blocks that swap space holds.
  BlockAllocator(int num_blocks, int block_size, int window = 0, int swap_places = 0);

  // Lengthens each named sequence to `tokens` (not shorter than it is; each named once; an unknown one starts at 0) and
  // gives it the blocks it lacks. All of it, or kCapacity and nothing is changed. A block that others share is not
  // written: the sequence gets a copy, which must be made before the step.
  Result<KvReservation> reserve(std::span<const Growth> growths);
  // Back to the lengths before the reservation; no sequence may have been changed or released since.
  void rollback(KvReservation reservation);

  // Shortens a sequence to `tokens` and gives back the blocks it no longer reaches into. 0 forgets it.
  void truncate(SeqId seq, int tokens);
  // Forgets a sequence; an unknown one is ignored.
  void release(SeqId seq) { truncate(seq, 0); }
  // Starts the unknown sequence `child` as a copy of `parent`, without copying: they share all blocks, the one that is
  // not full too, until one of them writes into it.
  void fork(SeqId parent, SeqId child);
  // Whether a fork of `parent` could be cut back to its first `tokens` tokens and go on from there: that many are
  // known, and what the next position sees has not been dropped.
  bool can_fork(SeqId parent, int tokens) const;
  // Gives back the blocks that no position from the sequence's length on sees. Their table entries become kNoBlock.
  void drop_unseen(SeqId seq);

  // How much of a text is in the cache, of its first max_tokens tokens. chain: the hashes of its full blocks.
  PrefixMatch match(std::span<const PrefixHash> chain, int max_tokens) const;
  // Starts the unknown sequence `seq` with what match() just found, and counts the hit or miss.
  void attach(SeqId seq, std::span<const PrefixHash> chain, const PrefixMatch& match);
  // The blocks that match() just found; kNoBlock for those that are missing or swapped out.
  std::vector<BlockId> found(std::span<const PrefixHash> chain, const PrefixMatch& match) const;
  // Makes a text findable whose KV comes from elsewhere, but for its first `missing` blocks: names blocks that nobody
  // uses. What is known already stays. Returns the blocks that the caller must fill, with their place in the text.
  // kCapacity, and nothing is changed, where too few are free.
  Result<std::vector<std::pair<int, BlockId>>> adopt(std::span<const PrefixHash> chain, int missing);
  // Lets others find the full blocks of a sequence, whose KV must have been computed; each is offered once, and kept
  // out where its text is known already. chain: as in match().
  void publish(SeqId seq, std::span<const PrefixHash> chain);
  // Forgets what is in blocks and in swap space, so that nothing is found; sequences keep their blocks. For when bytes
  // did not come where they should be.
  void forget_contents();
  PrefixStats prefix_stats() const;

  // Whether blocks that are taken for other content are swapped out, or forgotten because computing them again is
  // cheaper. What is in swap space already is found in either case.
  void set_swapping(bool on) { swapping_ = on; }
  // The moves since the last call: to be made before anything is written into a block, and before its copies.
  std::vector<KvMove> take_moves() { return std::exchange(moves_, {}); }

  int num_blocks() const { return static_cast<int>(references_.size()); }
  int free_blocks() const { return static_cast<int>(empty_.size()) + index_.idle(); }
  int used_blocks() const { return num_blocks() - free_blocks(); }
  int block_size() const { return block_size_; }
  int blocks_for(int tokens) const;  // ceil(tokens / block_size)
  int length(SeqId seq) const;       // tokens; 0 if unknown
  int missing(Growth growth) const;  // free blocks that reserve() would take for it alone
  // Tokens that a sequence can have with that many free blocks more.
  int64_t reach(SeqId seq, int free_blocks) const;
  // Block of position p: table(seq)[p / block_size]. Valid until the next change; empty if unknown.
  std::span<const BlockId> table(SeqId seq) const;

  // Every broken invariant as a sentence; empty when all is well. O(blocks + table entries).
  std::vector<std::string> violations() const;

 private:
  struct Entry {
    int tokens = 0;
    int published = 0;  // full blocks, from the start, that publish() has seen
    std::vector<BlockId> blocks;
  };

  BlockId take();
  void swap_out(const PrefixHash& name, BlockId block);
  void forget_place(int32_t place);
  bool name(const PrefixHash& hash, BlockId block);
  void swap_in(Entry& entry, std::span<const PrefixHash> chain, const PrefixMatch& match);
  void hold(BlockId block);
  void give_back(BlockId block);
  int32_t& references(BlockId block) { return references_[static_cast<size_t>(block)]; }
  int32_t references(BlockId block) const { return references_[static_cast<size_t>(block)]; }
  const Entry* find(SeqId seq) const;
  BlockId written_block(Growth growth) const;
  int64_t blocks_needed(std::span<const Growth> growths) const;
  void make_writable(Entry& entry, KvReservation& reservation);
  int first_seen_block(int64_t tokens) const;

  const int block_size_;
  const int window_;
  const int swap_places_;
  std::vector<BlockId> empty_;       // a stack: the block used last is the one most likely still in a cache
  std::vector<int32_t> references_;  // per block: tables that hold it
  std::unordered_map<SeqId, Entry> entries_;
  PrefixIndex index_;
  // Swap space, in the same terms: its places are "blocks" that are always idle, the one unused longest first.
  PrefixIndex swapped_;
  std::vector<int32_t> empty_places_;
  bool swapping_ = true;
  std::vector<KvMove> moves_;
  PrefixStats stats_;  // entries are filled in when asked for
};

}  // namespace ferrum
