#include "kv/block_allocator.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace ferrum {

BlockAllocator::BlockAllocator(int num_blocks, int block_size, int window, int swap_places)
    : block_size_(block_size), window_(window), swap_places_(swap_places) {
  FERRUM_CHECK(num_blocks >= 0 && block_size >= 1 && window >= 0 && swap_places >= 0, "a KV pool needs a size");
  for (int32_t place = swap_places - 1; place >= 0; --place) empty_places_.push_back(place);
  references_.assign(static_cast<size_t>(num_blocks), 0);
  empty_.reserve(static_cast<size_t>(num_blocks));
  for (BlockId b = num_blocks - 1; b >= 0; --b) empty_.push_back(b);
}

int BlockAllocator::blocks_for(int tokens) const { return (tokens + block_size_ - 1) / block_size_; }

const BlockAllocator::Entry* BlockAllocator::find(SeqId seq) const {
  const auto it = entries_.find(seq);
  return it == entries_.end() ? nullptr : &it->second;
}

int BlockAllocator::length(SeqId seq) const {
  const Entry* entry = find(seq);
  return entry == nullptr ? 0 : entry->tokens;
}

std::span<const BlockId> BlockAllocator::table(SeqId seq) const {
  const Entry* entry = find(seq);
  if (entry == nullptr) return {};
  return entry->blocks;
}

// The block with tokens in it that the growth would write more into; kNoBlock if there is none.
BlockId BlockAllocator::written_block(Growth growth) const {
  const Entry* entry = find(growth.seq);
  if (entry == nullptr || growth.tokens == entry->tokens || entry->tokens % block_size_ == 0) return kNoBlock;
  return entry->blocks.back();
}

int BlockAllocator::missing(Growth growth) const {
  const BlockId written = written_block(growth);
  const int copied = written != kNoBlock && references(written) > 1 ? 1 : 0;
  return std::max(0, blocks_for(growth.tokens) - static_cast<int>(table(growth.seq).size())) + copied;
}

int64_t BlockAllocator::reach(SeqId seq, int free_blocks) const {
  const int tokens = length(seq);
  const int copied = missing({seq, tokens + 1}) - (blocks_for(tokens + 1) - blocks_for(tokens));
  if (free_blocks < copied) return tokens;
  return (int64_t{blocks_for(tokens)} + free_blocks - copied) * block_size_;
}

BlockId BlockAllocator::take() {
  BlockId block = kNoBlock;
  if (empty_.empty()) {
    const PrefixHash content = index_.idle_longest();
    block = index_.evict();
    ++stats_.evictions;
    swap_out(content, block);
  } else {
    block = empty_.back();
    empty_.pop_back();
  }
  references(block) = 1;
  return block;
}

void BlockAllocator::swap_out(const PrefixHash& name, BlockId block) {
  const bool has_room = !empty_places_.empty() || swapped_.size() > 0;
  if (!swapping_ || !has_room) return;
  if (empty_places_.empty()) empty_places_.push_back(swapped_.evict());
  const int32_t place = empty_places_.back();
  empty_places_.pop_back();
  swapped_.insert(name, place);
  swapped_.set_idle(place);
  moves_.push_back({KvMove::kOut, block, place});
  ++stats_.swapped_out;
}

void BlockAllocator::forget_place(int32_t place) {
  swapped_.erase_idle(place);
  empty_places_.push_back(place);
}

// A block gets a name; what swap space has under it is no longer needed. False where the name or the block has one.
bool BlockAllocator::name(const PrefixHash& hash, BlockId block) {
  if (!index_.insert(hash, block)) return false;
  if (const std::optional<int32_t> place = swapped_.find(hash)) forget_place(*place);
  return true;
}

void BlockAllocator::hold(BlockId block) {
  if (block == kNoBlock) return;
  if (references(block)++ == 0) index_.set_busy(block);
}

void BlockAllocator::give_back(BlockId block) {
  if (block == kNoBlock) return;
  FERRUM_CHECK(references(block) > 0, "KV block freed twice");
  if (--references(block) > 0) return;
  if (index_.holds(block)) {
    index_.set_idle(block);
  } else {
    empty_.push_back(block);
  }
}

// Of all who write into one shared block, the last may keep it.
int64_t BlockAllocator::blocks_needed(std::span<const Growth> growths) const {
  int64_t needed = 0;
  std::unordered_map<BlockId, int> writers;
  for (const Growth& g : growths) {
    needed += std::max(0, blocks_for(g.tokens) - static_cast<int>(table(g.seq).size()));
    if (const BlockId written = written_block(g); written != kNoBlock) ++writers[written];
  }
  for (const auto& [block, count] : writers) needed += std::min(count, references(block) - 1);
  return needed;
}

// A block that others hold is copied; one that is only known to the index is forgotten there, since it changes.
void BlockAllocator::make_writable(Entry& entry, KvReservation& reservation) {
  BlockId& last = entry.blocks.back();
  reservation.before.back().last = last;
  if (references(last) > 1) {
    const BlockId copy = take();
    reservation.copies.push_back({last, copy});
    give_back(last);
    last = copy;
  } else if (index_.holds(last)) {
    index_.erase(last);
  }
}

Result<KvReservation> BlockAllocator::reserve(std::span<const Growth> growths) {
  std::unordered_set<SeqId> named;
  for (const Growth& g : growths) {
    FERRUM_CHECK(named.insert(g.seq).second, "a sequence grows twice in one reservation");
    FERRUM_CHECK(g.tokens >= length(g.seq), "reserve() cannot shorten a sequence");
  }
  if (const int64_t needed = blocks_needed(growths); needed > free_blocks()) {
    return capacity_exceeded("the KV cache has " + std::to_string(free_blocks()) + " of " +
                             std::to_string(num_blocks()) + " blocks free, " + std::to_string(needed) + " are needed");
  }
  // The longest last: if all who share a block write into it, that one keeps it, and what it writes lies behind the
  // tokens of the others, who get the block back in a rollback.
  std::vector<Growth> ordered(growths.begin(), growths.end());
  std::stable_sort(ordered.begin(), ordered.end(),
                   [&](const Growth& a, const Growth& b) { return length(a.seq) < length(b.seq); });
  KvReservation reservation;
  for (const Growth& g : ordered) {
    reservation.before.push_back({g.seq, length(g.seq), kNoBlock});
    if (g.tokens == 0) continue;
    const bool writes_into_last = written_block(g) != kNoBlock;
    Entry& entry = entries_[g.seq];
    if (writes_into_last) make_writable(entry, reservation);
    while (static_cast<int>(entry.blocks.size()) < blocks_for(g.tokens)) entry.blocks.push_back(take());
    entry.tokens = g.tokens;
  }
  return reservation;
}

void BlockAllocator::rollback(KvReservation reservation) {
  for (const KvReservation::Before& b : reservation.before) {
    truncate(b.seq, b.tokens);
    if (b.last == kNoBlock) continue;
    BlockId& last = entries_.at(b.seq).blocks.back();
    if (last == b.last) continue;
    give_back(last);
    last = b.last;
    hold(last);
  }
}

void BlockAllocator::truncate(SeqId seq, int tokens) {
  const auto it = entries_.find(seq);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  FERRUM_CHECK(tokens >= 0 && tokens <= entry.tokens, "truncate() cannot lengthen a sequence");
  // From the end, so that of the blocks that become idle together the end of the text is evicted first: the beginning
  // is of use without it, and not the other way round.
  const auto keep = static_cast<size_t>(blocks_for(tokens));
  while (entry.blocks.size() > keep) {
    give_back(entry.blocks.back());
    entry.blocks.pop_back();
  }
  FERRUM_CHECK(tokens == 0 || entry.blocks.back() != kNoBlock, "truncate() to what the sliding window dropped");
  entry.tokens = tokens;
  entry.published = std::min(entry.published, tokens / block_size_);
  if (tokens == 0) entries_.erase(it);
}

void BlockAllocator::fork(SeqId parent, SeqId child) {
  FERRUM_CHECK(find(child) == nullptr, "fork() starts a new sequence");
  const Entry* source = find(parent);
  if (source == nullptr) return;
  Entry copy = *source;
  for (const BlockId block : copy.blocks) hold(block);
  entries_.emplace(child, std::move(copy));
}

bool BlockAllocator::can_fork(SeqId parent, int tokens) const {
  const Entry* entry = find(parent);
  if (entry == nullptr || tokens < 1 || tokens > entry->tokens) return false;
  const int first = std::min(first_seen_block(tokens), blocks_for(tokens) - 1);
  const auto begin = entry->blocks.begin();
  return std::find(begin + first, begin + blocks_for(tokens), kNoBlock) == begin + blocks_for(tokens);
}

// The first block that the position after `tokens` tokens sees.
int BlockAllocator::first_seen_block(int64_t tokens) const {
  if (window_ == 0) return 0;
  return static_cast<int>(std::max<int64_t>(0, tokens - window_ + 1) / block_size_);
}

void BlockAllocator::drop_unseen(SeqId seq) {
  const auto it = entries_.find(seq);
  if (it == entries_.end()) return;
  // A full last block stays: it is what truncate() and the next growth start from.
  const int end = std::min(first_seen_block(it->second.tokens), blocks_for(it->second.tokens) - 1);
  for (int i = end - 1; i >= 0; --i) {
    BlockId& block = it->second.blocks[static_cast<size_t>(i)];
    if (block == kNoBlock) return;
    give_back(std::exchange(block, kNoBlock));
  }
}

PrefixMatch BlockAllocator::match(std::span<const PrefixHash> chain, int max_tokens) const {
  const int most = std::min(static_cast<int>(chain.size()), max_tokens / block_size_);
  PrefixMatch best;
  int gap = 0, idle = 0;  // blocks up to the last one that is not there; idle ones since
  for (int n = 1; n <= most && (window_ > 0 || gap == 0); ++n) {
    const PrefixHash& hash = chain[static_cast<size_t>(n - 1)];
    const std::optional<BlockId> block = index_.find(hash);
    if (!block && !swapped_.find(hash)) {
      gap = n;
      idle = 0;
      continue;
    }
    idle += !block || index_.is_idle(*block) ? 1 : 0;
    if (gap <= first_seen_block(int64_t{n} * block_size_)) best = {n, gap, idle};
  }
  return best;
}

void BlockAllocator::attach(SeqId seq, std::span<const PrefixHash> chain, const PrefixMatch& match) {
  FERRUM_CHECK(find(seq) == nullptr, "attach() starts a new sequence");
  stats_.queried_tokens += static_cast<uint64_t>(chain.size()) * static_cast<uint64_t>(block_size_);
  if (match.blocks == 0) {
    if (!chain.empty()) ++stats_.misses;
    return;
  }
  Entry entry{match.blocks * block_size_, match.blocks, found(chain, match)};
  for (const BlockId block : entry.blocks) hold(block);
  swap_in(entry, chain, match);
  ++stats_.hits;
  stats_.saved_tokens += static_cast<uint64_t>(entry.tokens);
  entries_.emplace(seq, std::move(entry));
}

// What found() left empty. The names are out of swap space before blocks are taken, which may swap out others.
void BlockAllocator::swap_in(Entry& entry, std::span<const PrefixHash> chain, const PrefixMatch& match) {
  std::vector<std::pair<size_t, int32_t>> wanted;  // index of the block, place
  for (auto i = static_cast<size_t>(match.missing); i < entry.blocks.size(); ++i) {
    if (entry.blocks[i] != kNoBlock) continue;
    const int32_t place = swapped_.find(chain[i]).value();
    swapped_.erase_idle(place);
    wanted.emplace_back(i, place);
  }
  for (const auto& [i, place] : wanted) {
    entry.blocks[i] = take();
    index_.insert(chain[i], entry.blocks[i]);
    moves_.push_back({KvMove::kIn, entry.blocks[i], place});
    empty_places_.push_back(place);
    ++stats_.swapped_in;
  }
}

std::vector<BlockId> BlockAllocator::found(std::span<const PrefixHash> chain, const PrefixMatch& match) const {
  std::vector<BlockId> blocks;
  for (int i = 0; i < match.blocks; ++i) {
    blocks.push_back(i < match.missing ? kNoBlock : index_.find(chain[static_cast<size_t>(i)]).value_or(kNoBlock));
  }
  return blocks;
}

Result<std::vector<std::pair<int, BlockId>>> BlockAllocator::adopt(std::span<const PrefixHash> chain, int missing) {
  const auto end = static_cast<int>(chain.size());
  const auto known = [&](int i) { return index_.find(chain[static_cast<size_t>(i)]); };
  int needed = 0, idle = 0;
  for (int i = missing; i < end; ++i) {
    const std::optional<BlockId> block = known(i);
    needed += block ? 0 : 1;
    idle += block && index_.is_idle(*block) ? 1 : 0;
  }
  if (needed > free_blocks() - idle) {
    return capacity_exceeded("the KV cache has " + std::to_string(free_blocks()) + " of " +
                             std::to_string(num_blocks()) + " blocks free, " + std::to_string(needed + idle) +
                             " are needed");
  }
  std::vector<BlockId> held;  // so that none of the text is evicted for the rest of it
  for (int i = missing; i < end; ++i) {
    if (const std::optional<BlockId> block = known(i)) {
      hold(*block);
      held.push_back(*block);
    }
  }
  std::vector<std::pair<int, BlockId>> to_fill;
  for (int i = missing; i < end; ++i) {
    if (known(i)) continue;
    to_fill.emplace_back(i, take());
    name(chain[static_cast<size_t>(i)], to_fill.back().second);
  }
  // As in truncate(): the end of the text is the first to be evicted.
  for (auto it = to_fill.rbegin(); it != to_fill.rend(); ++it) give_back(it->second);
  for (auto it = held.rbegin(); it != held.rend(); ++it) give_back(*it);
  return to_fill;
}

void BlockAllocator::publish(SeqId seq, std::span<const PrefixHash> chain) {
  const auto it = entries_.find(seq);
  if (it == entries_.end()) return;
  Entry& entry = it->second;
  const int end = std::min(static_cast<int>(chain.size()), entry.tokens / block_size_);
  for (; entry.published < end; ++entry.published) {
    const auto i = static_cast<size_t>(entry.published);
    if (entry.blocks[i] != kNoBlock) name(chain[i], entry.blocks[i]);
  }
}

void BlockAllocator::forget_contents() {
  FERRUM_CHECK(moves_.empty(), "moves that nobody made");
  for (const BlockId block : index_.clear()) empty_.push_back(block);
  for (const int32_t place : swapped_.clear()) empty_places_.push_back(place);
}

PrefixStats BlockAllocator::prefix_stats() const {
  PrefixStats stats = stats_;
  stats.entries = index_.size();
  stats.swap_entries = swapped_.size();
  return stats;
}

std::vector<std::string> BlockAllocator::violations() const {
  std::vector<std::string> found = index_.violations();
  for (const std::string& what : swapped_.violations()) found.push_back("swap space: " + what);
  if (swapped_.size() != swapped_.idle() || swapped_.size() + static_cast<int>(empty_places_.size()) != swap_places_) {
    found.push_back("places in swap space are lost");
  }
  for (BlockId block = 0; block < num_blocks(); ++block) {
    const PrefixHash* name_of = index_.name(block);
    if (name_of != nullptr && swapped_.find(*name_of)) found.push_back("a text is in the pool and in swap space");
  }
  std::vector<int32_t> held(references_.size(), 0);
  for (const auto& [seq, entry] : entries_) {
    const std::string who = "sequence " + std::to_string(seq);
    if (entry.tokens <= 0) found.push_back(who + " is kept without tokens");
    if (static_cast<int>(entry.blocks.size()) != blocks_for(entry.tokens)) {
      found.push_back(who + " has " + std::to_string(entry.tokens) + " tokens in " +
                      std::to_string(entry.blocks.size()) + " blocks");
    }
    if (entry.published > entry.tokens / block_size_) found.push_back(who + " has published what it does not have");
    for (size_t i = 0; i < entry.blocks.size(); ++i) {
      const BlockId block = entry.blocks[i];
      if (block == kNoBlock && static_cast<int>(i) < first_seen_block(entry.tokens)) continue;
      if (block < 0 || block >= num_blocks())
        found.push_back(who + " holds no such block: " + std::to_string(block));
      else
        ++held[static_cast<size_t>(block)];
    }
  }
  std::vector<int32_t> listed(references_.size(), 0);
  for (BlockId block : empty_) ++listed[static_cast<size_t>(block)];
  for (size_t b = 0; b < references_.size(); ++b) {
    const std::string which = "block " + std::to_string(b);
    if (held[b] != references_[b]) {
      found.push_back(which + " is held " + std::to_string(held[b]) + " times and counted " +
                      std::to_string(references_[b]));
    }
    if (index_.is_idle(static_cast<BlockId>(b))) ++listed[b];
    if (index_.holds(static_cast<BlockId>(b)) && references_[b] == 0 && !index_.is_idle(static_cast<BlockId>(b))) {
      found.push_back(which + " is indexed, not in use and not idle");
    }
    if (listed[b] != (references_[b] == 0 ? 1 : 0)) {
      found.push_back(which + " with " + std::to_string(references_[b]) + " references is listed as free " +
                      std::to_string(listed[b]) + " times");
    }
  }
  return found;
}

}  // namespace ferrum
