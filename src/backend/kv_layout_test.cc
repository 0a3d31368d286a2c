#include "backend/kv_layout.h"

#include <gtest/gtest.h>

#include <set>

namespace ferrum {
namespace {

TEST(KvLayout, EveryElementHasAPlaceOfItsOwnWithinItsBlock) {
  constexpr int64_t kBlocks = 3, kHeads = 2, kHeadDim = 5;
  for (int64_t block_size : {1, 2, 5, 8, 12, 16, 24, 32, 48}) {
    const View cache(nullptr, DType::kF16, {kBlocks, kHeads, block_size, kHeadDim});
    const View scales(nullptr, DType::kF32, {kBlocks, kHeads, block_size});
    std::set<int64_t> k, v, scale;
    for (int64_t slot = 0; slot < kBlocks * block_size; ++slot) {
      for (int64_t head = 0; head < kHeads; ++head) {
        scale.insert(kv_scale_index(scales, slot, head));
        for (int64_t d = 0; d < kHeadDim; ++d) {
          for (const auto& [places, at] :
               {std::pair{&k, k_place(cache, slot, head)}, std::pair{&v, v_place(cache, slot, head)}}) {
            const int64_t index = at.first + d * at.step, of_head = block_size * kHeadDim;
            EXPECT_TRUE(places->insert(index).second) << "blocks of " << block_size;
            EXPECT_EQ(index / of_head, slot / block_size * kHeads + head) << "a block and head is contiguous";
          }
        }
      }
    }
    EXPECT_EQ(*k.rbegin(), cache.elements() - 1);
    EXPECT_EQ(*v.rbegin(), cache.elements() - 1);
    EXPECT_EQ(static_cast<int64_t>(scale.size()), scales.elements());
    EXPECT_EQ(*scale.rbegin(), scales.elements() - 1);
  }
}

TEST(KvLayout, SixteenPositionsAreNeighboursWhereTheBlockSizeAllows) {
  for (int block_size : {16, 32, 48, 1024}) EXPECT_EQ(kv_lanes(block_size), 16);
  EXPECT_EQ(kv_lanes(24), 8);
  EXPECT_EQ(kv_lanes(12), 4);
  EXPECT_EQ(kv_lanes(5), 1);
}

}  // namespace
}  // namespace ferrum
