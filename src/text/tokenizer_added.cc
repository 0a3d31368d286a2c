#include "text/tokenizer_added.h"

#include <algorithm>

namespace ferrum {
namespace {

uint64_t edge(int32_t state, uint8_t byte) { return static_cast<uint64_t>(state) << 8 | byte; }

}  // namespace

int32_t AddedTokenMatcher::child(int32_t state, uint8_t byte) const {
  if (state == 0) return root_[byte] != 0 ? root_[byte] : -1;
  const auto found = children_.find(edge(state, byte));
  return found == children_.end() ? -1 : found->second;
}

int32_t AddedTokenMatcher::advance(int32_t state, uint8_t byte) const {
  while (true) {
    if (const int32_t next = child(state, byte); next >= 0) return next;
    if (state == 0) return 0;
    state = states_[static_cast<size_t>(state)].fail;
  }
}

void AddedTokenMatcher::add(std::string_view pattern, TokenId token) {
  int32_t state = 0;
  for (size_t i = pattern.size(); i-- > 0;) {
    const auto byte = static_cast<uint8_t>(pattern[i]);
    int32_t next = child(state, byte);
    if (next < 0) {
      next = static_cast<int32_t>(states_.size());
      State made;
      made.byte = byte;
      made.next_sibling = states_[static_cast<size_t>(state)].first_child;
      states_[static_cast<size_t>(state)].first_child = next;
      states_.push_back(made);
      if (state == 0)
        root_[byte] = next;
      else
        children_.emplace(edge(state, byte), next);
    }
    state = next;
  }
  states_[static_cast<size_t>(state)].longest = static_cast<int32_t>(patterns_.size());
  patterns_.push_back({pattern.size(), token});
}

void AddedTokenMatcher::build() {
  std::vector<int32_t> order = {0};  // breadth first: a state's fail state is shorter, so it is complete before
  for (size_t i = 0; i < order.size(); ++i) {
    const int32_t parent = order[i];
    for (int32_t at = states_[static_cast<size_t>(parent)].first_child; at >= 0;) {
      State& state = states_[static_cast<size_t>(at)];
      state.fail = parent == 0 ? 0 : advance(states_[static_cast<size_t>(parent)].fail, state.byte);
      if (state.longest < 0) state.longest = states_[static_cast<size_t>(state.fail)].longest;
      order.push_back(at);
      at = state.next_sibling;
    }
  }
}

std::vector<AddedTokenMatch> AddedTokenMatcher::find(std::string_view text) const {
  std::vector<AddedTokenMatch> matches;
  if (patterns_.empty()) return matches;
  int32_t state = 0;
  for (size_t i = text.size(); i-- > 0;) {
    state = advance(state, static_cast<uint8_t>(text[i]));
    if (state == 0) continue;
    const int32_t longest = states_[static_cast<size_t>(state)].longest;
    if (longest < 0) continue;
    const Pattern& pattern = patterns_[static_cast<size_t>(longest)];
    matches.push_back({i, i + pattern.length, pattern.token});
  }
  std::reverse(matches.begin(), matches.end());
  size_t kept = 0, free_from = 0;
  for (const AddedTokenMatch& match : matches) {
    if (match.begin < free_from) continue;
    free_from = match.end;
    matches[kept++] = match;
  }
  matches.resize(kept);
  return matches;
}

}  // namespace ferrum
