// Merging neighbouring symbols, best pair first, until no pair is left that a vocabulary knows: the loop that
// byte-level BPE (best = lowest rank) and SentencePiece (best = highest score) share.
//
// Sennrich, Haddow, Birch: Neural Machine Translation of Rare Words with Subword Units (2016), algorithm 1; here with a
// heap of candidate pairs, which makes it O(n log n) in the length of the word.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "types/ids.h"

namespace ferrum {

// A run of the word's bytes. Symbols form a doubly linked list; those merged into their left neighbour have length 0.
struct MergeSymbol {
  int32_t id = -1;  // what the rule calls it
  uint32_t begin = 0;
  uint32_t length = 0;  // bytes
  int32_t previous = -1, next = -1;
};

struct Merge {
  uint32_t priority = 0;  // the lowest goes first; among equals the leftmost
  int32_t id = -1;        // of the merged symbol
};

class PairMerger {
 public:
  void clear() {
    symbols_.clear();
    heap_.clear();
  }
  void add(int32_t id, uint32_t length) {
    MergeSymbol symbol;
    const auto index = static_cast<int32_t>(symbols_.size());
    symbol.id = id;
    symbol.length = length;
    symbol.previous = index - 1;
    if (index > 0) {
      MergeSymbol& before = symbols_.back();
      symbol.begin = before.begin + before.length;
      before.next = index;
    }
    symbols_.push_back(symbol);
  }

  // rule(left, right): the merge of two neighbouring symbols, if there is one.
  template <typename Rule>
  void run(const Rule& rule) {
    for (size_t i = 0; i + 1 < symbols_.size(); ++i) {
      if (const auto merge = rule(symbols_[i], symbols_[i + 1])) heap_.push_back(candidate(*merge, i));
    }
    std::make_heap(heap_.begin(), heap_.end());
    while (!heap_.empty()) {
      const Candidate best = heap_.front();
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
      apply(best, rule);
    }
  }

  // The symbols that are left, in order.
  template <typename Visit>
  void for_each(Visit&& visit) const {
    for (size_t i = 0; i < symbols_.size();) {
      visit(symbols_[i]);
      if (symbols_[i].next < 0) break;
      i = static_cast<size_t>(symbols_[i].next);
    }
  }

 private:
  struct Candidate {
    uint64_t order;   // priority, then position of the left symbol
    uint32_t length;  // of both symbols when the candidate was made: if it differs, one of them is gone
    bool operator<(const Candidate& other) const { return order > other.order; }  // the standard heap is a max-heap
  };

  Candidate candidate(const Merge& merge, size_t left) const {
    const MergeSymbol& symbol = symbols_[left];
    return {static_cast<uint64_t>(merge.priority) << 32 | left,
            symbol.length + symbols_[static_cast<size_t>(symbol.next)].length};
  }

  template <typename Rule>
  void apply(const Candidate& best, const Rule& rule) {
    const size_t at = best.order & 0xffffffff;
    MergeSymbol& left = symbols_[at];
    if (left.length == 0 || left.next < 0) return;
    MergeSymbol& right = symbols_[static_cast<size_t>(left.next)];
    // Symbols only grow, so the same length means the same two symbols.
    if (left.length + right.length != best.length) return;
    const auto merge = rule(left, right);
    if (!merge) return;

    left.id = merge->id;
    left.length += right.length;
    right.length = 0;
    left.next = right.next;
    if (left.next >= 0) symbols_[static_cast<size_t>(left.next)].previous = static_cast<int32_t>(at);
    if (left.previous >= 0) try_pair(static_cast<size_t>(left.previous), rule);
    if (left.next >= 0) try_pair(at, rule);
  }

  template <typename Rule>
  void try_pair(size_t left, const Rule& rule) {
    const MergeSymbol& symbol = symbols_[left];
    if (const auto merge = rule(symbol, symbols_[static_cast<size_t>(symbol.next)])) {
      heap_.push_back(candidate(*merge, left));
      std::push_heap(heap_.begin(), heap_.end());
    }
  }

  std::vector<MergeSymbol> symbols_;
  std::vector<Candidate> heap_;
};

// Words of one text and their tokens: text repeats itself. The words are views into the text.
class WordCache {
 public:
  // Appends the tokens of a word met before.
  bool append_known(std::string_view word, std::vector<TokenId>& out) const {
    const auto found = words_.find(word);
    if (found == words_.end()) return false;
    const auto begin = tokens_.begin() + found->second.begin;
    out.insert(out.end(), begin, begin + found->second.count);
    return true;
  }
  // Remembers that `word` gave the tokens of `all` from index `from` on.
  void remember(std::string_view word, const std::vector<TokenId>& all, size_t from) {
    if (word.size() > kMaxWordBytes || words_.size() >= kMaxWords) return;
    const auto begin = static_cast<uint32_t>(tokens_.size());
    tokens_.insert(tokens_.end(), all.begin() + static_cast<ptrdiff_t>(from), all.end());
    words_.emplace(word, Slice{begin, static_cast<uint32_t>(all.size() - from)});
  }

 private:
  static constexpr size_t kMaxWordBytes = 128;
  static constexpr size_t kMaxWords = 1 << 17;
  struct Slice {
    uint32_t begin, count;
  };
  std::unordered_map<std::string_view, Slice> words_;
  std::vector<TokenId> tokens_;
};

}  // namespace ferrum
