// Finding the special and added tokens of a vocabulary in a text: leftmost first, the longest of those that start
// there.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "types/ids.h"

namespace ferrum {

struct AddedTokenMatch {
  size_t begin = 0;
  size_t end = 0;
  TokenId token = -1;
};

// Aho & Corasick, Efficient string matching (1975), run from the end of the text over the reversed patterns: the state
// at a place then knows the longest pattern that starts there. Linear in the text, whatever the patterns.
class AddedTokenMatcher {
 public:
  // Patterns must not be empty. Call build() once after the last.
  void add(std::string_view pattern, TokenId token);
  void build();

  // Matches that do not overlap, in order of the text.
  std::vector<AddedTokenMatch> find(std::string_view text) const;

 private:
  struct State {
    int32_t fail = 0;      // the longest proper suffix that is a state, too
    int32_t longest = -1;  // index of the longest pattern that ends here (that is: starts at this place of the text)
    int32_t first_child = -1;  // while building: children as a list
    int32_t next_sibling = -1;
    uint8_t byte = 0;
  };
  struct Pattern {
    size_t length;
    TokenId token;
  };
  int32_t child(int32_t state, uint8_t byte) const;
  int32_t advance(int32_t state, uint8_t byte) const;

  std::vector<State> states_ = std::vector<State>(1);
  std::vector<Pattern> patterns_;
  std::unordered_map<uint64_t, int32_t> children_;
  std::array<int32_t, 256> root_{};  // the root's children: where nearly all bytes of a text end up
};

}  // namespace ferrum
