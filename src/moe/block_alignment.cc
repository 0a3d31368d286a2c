#include "moe/block_alignment.h"

#include <algorithm>

#include "base/check.h"

namespace ferrum {
namespace {

constexpr int64_t kUsualBlockSize = 16;
constexpr int64_t kPaddingBudgetPercent = 130;

int64_t round_up(int64_t rows, int64_t block) { return (rows + block - 1) / block * block; }

}  // namespace

int64_t max_padded_rows(int64_t pairs, int num_experts, int block_size) {
  return pairs + std::min<int64_t>(pairs, num_experts) * (block_size - 1);
}

void align_blocks(const BucketPlan& plan, int block_size, SortedIds ids, BlockAlignment& out) {
  FERRUM_CHECK(block_size >= 1, "a block has at least one row");
  out.block_size = block_size;
  out.sorted_ids.clear();
  out.block_experts.clear();
  const auto sentinel = static_cast<int32_t>(plan.pairs());
  for (const int32_t expert : plan.active_experts()) {
    const int64_t rows = plan.rows_of(expert), first = plan.expert_offsets()[static_cast<size_t>(expert)];
    for (int64_t row = first; row < first + rows; ++row) {
      const bool pairs = ids == SortedIds::kPairs;
      out.sorted_ids.push_back(pairs ? plan.packed_pairs()[static_cast<size_t>(row)] : static_cast<int32_t>(row));
    }
    const int64_t padding = round_up(rows, block_size) - rows;
    out.sorted_ids.insert(out.sorted_ids.end(), static_cast<size_t>(padding), sentinel);
    out.block_experts.insert(out.block_experts.end(), static_cast<size_t>((rows + padding) / block_size), expert);
  }
}

int64_t moe_block_size(const MoeBlockSizes& sizes, std::span<const int32_t> expert_offsets, bool device_route,
                       int64_t total_pairs) {
  if (sizes.block_size) return *sizes.block_size;
  if (device_route) {
    const bool large = total_pairs >= sizes.large_m_min_pairs;
    return large ? sizes.large_m_block_size.value_or(kUsualBlockSize) : kUsualBlockSize;
  }
  const int64_t rows = expert_offsets.empty() ? 0 : expert_offsets.back() - expert_offsets.front();
  if (rows == 0) return kUsualBlockSize;
  for (const int64_t size : {64, 32, 16}) {
    int64_t padded = 0;
    for (size_t e = 0; e + 1 < expert_offsets.size(); ++e) {
      padded += round_up(expert_offsets[e + 1] - expert_offsets[e], size);
    }
    if (padded * 100 <= rows * kPaddingBudgetPercent) return size;
  }
  return kUsualBlockSize;
}

}  // namespace ferrum
