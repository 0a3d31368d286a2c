// Which blocks of the KV pool hold the draft model's KV, too.
//
// The draft model keeps its KV in storage of its own, under the target's block ids and tables. The target computes
// every token of a sequence; the draft model only those that it needs, and later. So each block remembers how many of
// its leading slots the draft model has filled with the tokens that the target has there. That is all there is to
// know: how far the draft model is in a sequence follows from the sequence's table, whether its blocks were computed by
// it, found in the prefix cache, shared by a fork, copied, or taken after a preemption. Sequences have no state here,
// so nothing need be told when one ends.
//
// A shared block is filled by whoever needs it first: all who hold it have the same text up to there, so all would
// write the same bits.
#pragma once

#include <span>
#include <vector>

#include "types/batch.h"
#include "types/ids.h"

namespace ferrum {

class DraftKv {
 public:
  DraftKv(int num_blocks, int block_size);

  // The target is about to write positions [begin, end) of the sequence with this table.
  void overwritten(std::span<const BlockId> table, int begin, int end);
  // The draft model's storage was copied as the target's was.
  void copied(const BlockCopy& copy) { filled(copy.to) = filled(copy.from); }
  // The block got its content by other means than the two above.
  void forget(BlockId block) { filled(block) = 0; }
  // The draft model has computed positions [begin, end), and those before them.
  void computed(std::span<const BlockId> table, int begin, int end);

  // Positions, from the first that the table still has, up to which the draft model's KV is complete; at most `limit`.
  int length(std::span<const BlockId> table, int limit) const;
  // The first position that the table still has.
  int first_kept(std::span<const BlockId> table) const;

 private:
  int& filled(BlockId block) { return filled_[static_cast<size_t>(block)]; }
  int filled(BlockId block) const { return filled_[static_cast<size_t>(block)]; }

  const int block_size_;
  std::vector<int> filled_;  // per block: leading slots
};

}  // namespace ferrum
