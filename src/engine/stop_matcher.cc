#include "engine/stop_matcher.h"

#include <algorithm>

namespace ferrum {

StopMatcher::StopMatcher(std::span<const std::string> stops, bool keep_match) : nodes_(1), keep_match_(keep_match) {
  for (const std::string& stop : stops) insert(stop);
  link();
}

void StopMatcher::insert(const std::string& stop) {
  int32_t node = 0;
  for (const char c : stop) {
    int32_t next = child(node, c);
    if (next < 0) {
      next = static_cast<int32_t>(nodes_.size());
      const int32_t depth = nodes_[static_cast<size_t>(node)].depth + 1;
      nodes_.push_back({{}, 0, depth, 0});
      nodes_[static_cast<size_t>(node)].next.emplace_back(c, next);
    }
    node = next;
  }
  nodes_[static_cast<size_t>(node)].match_length = static_cast<int32_t>(stop.size());
}

// Breadth first: a node's failure link points to a shallower node, which is complete by then.
void StopMatcher::link() {
  std::vector<int32_t> order = {0};
  for (size_t i = 0; i < order.size(); ++i) {
    const int32_t parent = order[i];
    for (const auto& [c, id] : nodes_[static_cast<size_t>(parent)].next) {
      Node& node = nodes_[static_cast<size_t>(id)];
      node.fail = parent == 0 ? 0 : advance(nodes_[static_cast<size_t>(parent)].fail, c);
      if (node.match_length == 0) node.match_length = nodes_[static_cast<size_t>(node.fail)].match_length;
      order.push_back(id);
    }
  }
}

int32_t StopMatcher::child(int32_t node, char c) const {
  const auto& next = nodes_[static_cast<size_t>(node)].next;
  const auto it = std::find_if(next.begin(), next.end(), [c](const auto& edge) { return edge.first == c; });
  return it == next.end() ? -1 : it->second;
}

int32_t StopMatcher::advance(int32_t node, char c) const {
  while (true) {
    const int32_t next = child(node, c);
    if (next >= 0) return next;
    if (node == 0) return 0;
    node = nodes_[static_cast<size_t>(node)].fail;
  }
}

std::string StopMatcher::push(std::string_view text) {
  if (matched_) return "";
  for (const char c : text) {
    held_ += c;
    state_ = advance(state_, c);
    const auto length = static_cast<size_t>(nodes_[static_cast<size_t>(state_)].match_length);
    if (length == 0) continue;
    matched_ = true;
    match_ = held_.substr(held_.size() - length);
    if (!keep_match_) held_.resize(held_.size() - length);
    return std::exchange(held_, {});
  }
  const auto hold = static_cast<size_t>(nodes_[static_cast<size_t>(state_)].depth);
  std::string final_text = held_.substr(0, held_.size() - hold);
  held_.erase(0, held_.size() - hold);
  return final_text;
}

std::string StopMatcher::finish() {
  state_ = 0;
  return std::exchange(held_, {});
}

}  // namespace ferrum
