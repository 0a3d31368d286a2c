// A text as a model reads it: token ids, and input embeddings where a position has no id.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "types/ids.h"

namespace ferrum {

inline constexpr TokenId kNoToken = -1;  // an embedding stands at this position

// Views; nothing is owned. Ids alone convert to it.
struct InputText {
  std::span<const TokenId> tokens;
  std::span<const float> embeddings = {};  // row-major, one row for each kNoToken, in order
  size_t width = 0;                        // of a row: the model's hidden size

  InputText(std::span<const TokenId> ids) : tokens(ids) {}
  InputText(const std::vector<TokenId>& ids) : tokens(ids) {}
  InputText(std::span<const TokenId> ids, std::span<const float> rows, size_t row_width)
      : tokens(ids), embeddings(rows), width(row_width) {}

  // Rows that belong to positions before this one.
  size_t rows_before(size_t position) const {
    if (embeddings.empty()) return 0;
    return static_cast<size_t>(std::ranges::count(tokens.first(position), kNoToken));
  }
  std::span<const float> rows(size_t first, size_t count) const {
    return embeddings.subspan(first * width, count * width);
  }
};

}  // namespace ferrum
