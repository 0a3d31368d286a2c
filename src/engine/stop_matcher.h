// Finds stop strings in text that arrives in pieces, and holds back no more than could still become one.
//
// Aho and Corasick, "Efficient string matching", CACM 1975: the automaton's state is the longest end of the text that
// is a beginning of a stop string, so its depth is the length to hold back; each byte costs amortised constant time
// whatever the stop strings are. The first match to be complete counts, of those that end together the longest: so the
// result does not depend on how the text was cut into pieces.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ferrum {

class StopMatcher {
 public:
  // stops: none empty. keep_match: the matched stop string stays in the text.
  StopMatcher(std::span<const std::string> stops, bool keep_match);

  // The text that became final. Once matched(), nothing more is.
  std::string push(std::string_view text);
  // The end of the text: what was held back.
  std::string finish();

  bool matched() const { return matched_; }
  const std::string& match() const { return match_; }  // the stop string; "" unless matched()

 private:
  struct Node {
    std::vector<std::pair<char, int32_t>> next;
    int32_t fail = 0;  // node of the longest proper end that is in the tree
    int32_t depth = 0;
    int32_t match_length = 0;  // of the longest stop string that ends here; 0 = none
  };

  void insert(const std::string& stop);
  void link();
  int32_t child(int32_t node, char c) const;  // -1 if there is none
  int32_t advance(int32_t node, char c) const;

  std::vector<Node> nodes_;
  bool keep_match_;
  int32_t state_ = 0;
  std::string held_;
  bool matched_ = false;
  std::string match_;
};

}  // namespace ferrum
