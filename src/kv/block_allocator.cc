#include "kv/block_allocator.h"

#include <algorithm>
#include <unordered_set>

namespace ferrum {

BlockAllocator::BlockAllocator(int num_blocks, int block_size) : block_size_(block_size) {
  FERRUM_CHECK(num_blocks >= 0 && block_size >= 1, "a KV pool needs a size");
  references_.assign(static_cast<size_t>(num_blocks), 0);
  free_.reserve(static_cast<size_t>(num_blocks));
  for (BlockId b = num_blocks - 1; b >= 0; --b) free_.push_back(b);
}

int BlockAllocator::blocks_for(int tokens) const { return (tokens + block_size_ - 1) / block_size_; }

int BlockAllocator::length(SeqId seq) const {
  const auto it = entries_.find(seq);
  return it == entries_.end() ? 0 : it->second.tokens;
}

int BlockAllocator::missing(Growth growth) const {
  return std::max(0, blocks_for(growth.tokens) - static_cast<int>(table(growth.seq).size()));
}

std::span<const BlockId> BlockAllocator::table(SeqId seq) const {
  const auto it = entries_.find(seq);
  if (it == entries_.end()) return {};
  return it->second.blocks;
}

BlockId BlockAllocator::take() {
  const BlockId block = free_.back();
  free_.pop_back();
  references_[static_cast<size_t>(block)] = 1;
  return block;
}

void BlockAllocator::give_back(BlockId block) {
  int32_t& references = references_[static_cast<size_t>(block)];
  FERRUM_CHECK(references > 0, "KV block freed twice");
  if (--references == 0) free_.push_back(block);
}

Result<KvReservation> BlockAllocator::reserve(std::span<const Growth> growths) {
  int64_t needed = 0;
  std::unordered_set<SeqId> named;
  for (const Growth& g : growths) {
    FERRUM_CHECK(named.insert(g.seq).second, "a sequence grows twice in one reservation");
    FERRUM_CHECK(g.tokens >= length(g.seq), "reserve() cannot shorten a sequence");
    needed += missing(g);
  }
  if (needed > free_blocks()) {
    return capacity_exceeded("the KV cache has " + std::to_string(free_blocks()) + " of " +
                             std::to_string(num_blocks()) + " blocks free, " + std::to_string(needed) + " are needed");
  }
  KvReservation reservation;
  for (const Growth& g : growths) {
    reservation.before.push_back({g.seq, length(g.seq)});
    if (g.tokens == 0) continue;
    Entry& entry = entries_[g.seq];
    if (g.tokens > entry.tokens && entry.tokens % block_size_ != 0) {
      FERRUM_CHECK(references_[static_cast<size_t>(entry.blocks.back())] == 1, "a shared KV block would be written");
    }
    for (int lacking = missing(g); lacking > 0; --lacking) entry.blocks.push_back(take());
    entry.tokens = g.tokens;
  }
  return reservation;
}

void BlockAllocator::rollback(KvReservation reservation) {
  for (const Growth& g : reservation.before) truncate(g.seq, g.tokens);
}

void BlockAllocator::truncate(SeqId seq, int tokens) {
  const auto it = entries_.find(seq);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  FERRUM_CHECK(tokens >= 0 && tokens <= entry.tokens, "truncate() cannot lengthen a sequence");
  const auto keep = static_cast<size_t>(blocks_for(tokens));
  while (entry.blocks.size() > keep) {
    give_back(entry.blocks.back());
    entry.blocks.pop_back();
  }
  entry.tokens = tokens;
  if (tokens == 0) entries_.erase(it);
}

void BlockAllocator::share(SeqId from, SeqId to, int tokens) {
  FERRUM_CHECK(entries_.find(to) == entries_.end(), "share() starts a new sequence");
  FERRUM_CHECK(tokens % block_size_ == 0 && tokens <= length(from), "only full blocks can be shared");
  if (tokens == 0) return;
  const std::span<const BlockId> source = table(from).first(static_cast<size_t>(tokens / block_size_));
  Entry entry{tokens, {source.begin(), source.end()}};
  for (BlockId block : entry.blocks) ++references_[static_cast<size_t>(block)];
  entries_.emplace(to, std::move(entry));
}

std::vector<std::string> BlockAllocator::violations() const {
  std::vector<std::string> found;
  std::vector<int32_t> held(references_.size(), 0);
  for (const auto& [seq, entry] : entries_) {
    const std::string who = "sequence " + std::to_string(seq);
    if (entry.tokens <= 0) found.push_back(who + " is kept without tokens");
    if (static_cast<int>(entry.blocks.size()) != blocks_for(entry.tokens)) {
      found.push_back(who + " has " + std::to_string(entry.tokens) + " tokens in " +
                      std::to_string(entry.blocks.size()) + " blocks");
    }
    for (BlockId block : entry.blocks) {
      if (block < 0 || block >= num_blocks())
        found.push_back(who + " holds no such block: " + std::to_string(block));
      else
        ++held[static_cast<size_t>(block)];
    }
  }
  std::vector<int32_t> listed(references_.size(), 0);
  for (BlockId block : free_) ++listed[static_cast<size_t>(block)];
  for (size_t b = 0; b < references_.size(); ++b) {
    const std::string which = "block " + std::to_string(b);
    if (held[b] != references_[b]) {
      found.push_back(which + " is held " + std::to_string(held[b]) + " times and counted " +
                      std::to_string(references_[b]));
    }
    if (listed[b] != (references_[b] == 0 ? 1 : 0)) {
      found.push_back(which + " with " + std::to_string(references_[b]) + " references is on the free list " +
                      std::to_string(listed[b]) + " times");
    }
  }
  return found;
}

}  // namespace ferrum
