#include "kv/block_allocator.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

std::vector<BlockId> table_of(const BlockAllocator& kv, SeqId seq) {
  const auto t = kv.table(seq);
  return {t.begin(), t.end()};
}

TEST(BlockAllocator, TakesABlockOnlyWhenATokenNeedsIt) {
  BlockAllocator kv(4, 16);
  const Growth steps[] = {{7, 1}, {7, 16}, {7, 17}, {7, 32}, {7, 33}};
  const int used[] = {1, 1, 2, 2, 3};
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(kv.reserve({&steps[i], 1}).is_ok());
    EXPECT_EQ(kv.used_blocks(), used[i]) << "at " << steps[i].tokens << " tokens";
    EXPECT_EQ(kv.length(7), steps[i].tokens);
  }
  kv.truncate(7, 17);
  EXPECT_EQ(kv.used_blocks(), 2);
  kv.release(7);
  EXPECT_EQ(kv.free_blocks(), 4);
  EXPECT_EQ(kv.length(7), 0);
}

TEST(BlockAllocator, ReservesAllOrNothingAndSaysTheNumbers) {
  BlockAllocator kv(3, 16);
  const Growth fits[] = {{1, 20}};
  ASSERT_TRUE(kv.reserve(fits).is_ok());
  const auto before = table_of(kv, 1);
  const Growth too_much[] = {{1, 40}, {2, 1}};  // one block each, one is left
  const auto result = kv.reserve(too_much);
  ASSERT_FALSE(result.is_ok());
  EXPECT_EQ(result.status().code(), StatusCode::kCapacity);
  EXPECT_NE(result.status().message().find("1 of 3 blocks free, 2 are needed"), std::string::npos);
  EXPECT_EQ(table_of(kv, 1), before);
  EXPECT_EQ(kv.length(1), 20);
  EXPECT_EQ(kv.length(2), 0);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
}

TEST(BlockAllocator, RollbackRestoresLengthsAndTables) {
  BlockAllocator kv(8, 4);
  const Growth first[] = {{1, 6}, {2, 4}};
  ASSERT_TRUE(kv.reserve(first).is_ok());
  const auto one = table_of(kv, 1), two = table_of(kv, 2);
  const Growth second[] = {{1, 13}, {2, 4}, {3, 5}};
  auto reservation = kv.reserve(second);
  ASSERT_TRUE(reservation.is_ok());
  kv.rollback(std::move(reservation).value());
  EXPECT_EQ(table_of(kv, 1), one);
  EXPECT_EQ(table_of(kv, 2), two);
  EXPECT_TRUE(kv.table(3).empty());
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
}

TEST(BlockAllocator, ForksShareAllBlocksUntilOneWrites) {
  BlockAllocator kv(5, 4);
  const Growth g[] = {{1, 6}};
  ASSERT_TRUE(kv.reserve(g).is_ok());
  kv.fork(1, 2);
  EXPECT_EQ(kv.used_blocks(), 2);
  const BlockId partial = kv.table(1)[1];
  const Growth both[] = {{1, 7}, {2, 7}};
  EXPECT_EQ(kv.missing(both[0]), 1);
  auto reservation = kv.reserve(both);  // the first gets a copy; then the second is alone with the block
  ASSERT_TRUE(reservation.is_ok());
  ASSERT_EQ(reservation->copies.size(), 1u);
  EXPECT_EQ(reservation->copies[0].from, partial);
  EXPECT_EQ(reservation->copies[0].to, kv.table(1)[1]);
  EXPECT_EQ(kv.table(2)[1], partial);
  EXPECT_EQ(kv.table(1)[0], kv.table(2)[0]);
  EXPECT_EQ(kv.used_blocks(), 3);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
  kv.rollback(std::move(reservation).value());
  EXPECT_EQ(kv.table(1)[1], partial);
  EXPECT_EQ(kv.used_blocks(), 2);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
  kv.release(1);
  kv.release(2);
  EXPECT_EQ(kv.free_blocks(), 5);
}

// A failed step may have written anything behind the sequence that kept the block; that must not be another's token.
TEST(BlockAllocator, TheLongestOfAllWhoWriteIntoASharedBlockKeepsIt) {
  BlockAllocator kv(5, 4);
  const Growth g[] = {{1, 3}}, both[] = {{1, 4}, {2, 4}};
  ASSERT_TRUE(kv.reserve(g).is_ok());
  kv.fork(1, 2);
  kv.truncate(2, 1);
  const BlockId shared = kv.table(1)[0];
  ASSERT_TRUE(kv.reserve(both).is_ok());
  EXPECT_EQ(kv.table(1)[0], shared);
  EXPECT_NE(kv.table(2)[0], shared);
}

// The hashes of a text's full blocks.
std::vector<PrefixHash> chain_of(const std::vector<TokenId>& text, int block_size) {
  return PrefixChain({1, 2}, "", block_size).extend(text);
}
std::vector<TokenId> counting(int tokens) {
  std::vector<TokenId> text;
  for (int i = 0; i < tokens; ++i) text.push_back(i);
  return text;
}

TEST(BlockAllocator, FindsWhatWasPublishedUntilItIsEvicted) {
  BlockAllocator kv(4, 4);
  const auto chain = chain_of(counting(12), 4);
  const Growth g[] = {{1, 11}};
  ASSERT_TRUE(kv.reserve(g).is_ok());
  kv.publish(1, chain);  // two full blocks
  const std::vector<BlockId> blocks = table_of(kv, 1);
  EXPECT_EQ(kv.match(chain, 100).blocks, 2);
  EXPECT_EQ(kv.match(chain, 100).idle, 0);
  EXPECT_EQ(kv.match(chain, 7).blocks, 1) << "no more than asked for";
  kv.release(1);
  EXPECT_EQ(kv.free_blocks(), 4);
  const PrefixMatch match = kv.match(chain, 100);
  EXPECT_EQ(match.idle, 2);
  kv.attach(2, chain, match);
  EXPECT_EQ(table_of(kv, 2), std::vector<BlockId>(blocks.begin(), blocks.begin() + 2));
  EXPECT_EQ(kv.length(2), 8);
  EXPECT_EQ(kv.free_blocks(), 2);
  kv.release(2);
  const Growth big[] = {{3, 9}};  // two empty blocks and one of the idle: the end of the text, not its beginning
  ASSERT_TRUE(kv.reserve(big).is_ok());
  EXPECT_EQ(kv.match(chain, 100).blocks, 1);
  EXPECT_EQ(kv.prefix_stats().evictions, 1u);
  EXPECT_EQ(kv.prefix_stats().hits, 1u);
  EXPECT_EQ(kv.prefix_stats().saved_tokens, 8u);
  EXPECT_EQ(kv.prefix_stats().entries, 1);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
}

TEST(BlockAllocator, ForgetsContentsInThePoolAndInSwapSpaceAndLeavesSequencesTheirBlocks) {
  BlockAllocator kv(4, 4, 0, 2);
  const auto first = chain_of(counting(8), 4), second = chain_of({9, 9, 9, 9}, 4), third = chain_of({8, 8, 8, 8}, 4);
  const auto add = [&kv](SeqId id, int tokens, const std::vector<PrefixHash>& chain) {
    const Growth g[] = {{id, tokens}};
    ASSERT_TRUE(kv.reserve(g).is_ok());
    kv.publish(id, chain);
  };
  add(1, 8, first);
  add(2, 4, second);
  add(3, 4, third);
  kv.release(1);
  kv.release(2);
  const Growth g[] = {{4, 4}};
  ASSERT_TRUE(kv.reserve(g).is_ok());  // swaps out a block of the first
  EXPECT_EQ(kv.take_moves().size(), 1u);
  EXPECT_EQ(kv.match(first, 100).blocks, 2);
  const std::vector<BlockId> held = table_of(kv, 3);
  kv.forget_contents();
  for (const auto& chain : {first, second, third}) EXPECT_EQ(kv.match(chain, 100).blocks, 0);
  EXPECT_EQ(kv.prefix_stats().entries, 0);
  EXPECT_EQ(kv.prefix_stats().swap_entries, 0);
  EXPECT_EQ(table_of(kv, 3), held);
  EXPECT_EQ(kv.free_blocks(), 2);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
  kv.release(3);
  kv.release(4);
  add(5, 16, {});
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
}

TEST(BlockAllocator, EvictsWhatWasLetGoFirstAndNeverWhatIsInUse) {
  BlockAllocator kv(3, 2);
  std::vector<std::vector<PrefixHash>> chains;
  for (SeqId id = 1; id <= 3; ++id) {
    chains.push_back(chain_of({static_cast<TokenId>(id), 7}, 2));
    const Growth g[] = {{id, 2}};
    ASSERT_TRUE(kv.reserve(g).is_ok());
    kv.publish(id, chains.back());
  }
  kv.release(2);
  kv.release(1);
  const Growth more[] = {{4, 2}};
  ASSERT_TRUE(kv.reserve(more).is_ok());
  EXPECT_EQ(kv.match(chains[1], 2).blocks, 0) << "let go first";
  EXPECT_EQ(kv.match(chains[0], 2).blocks, 1);
  EXPECT_EQ(kv.match(chains[2], 2).blocks, 1);
  const Growth last[] = {{5, 2}}, too_much[] = {{6, 2}};
  ASSERT_TRUE(kv.reserve(last).is_ok());
  EXPECT_EQ(kv.match(chains[2], 2).blocks, 1) << "in use";
  EXPECT_FALSE(kv.reserve(too_much).is_ok());
}

TEST(BlockAllocator, ABlockThatIsWrittenAgainIsFoundNoMore) {
  BlockAllocator kv(4, 4);
  const auto chain = chain_of(counting(8), 4);
  const Growth g[] = {{1, 8}}, again[] = {{1, 7}};
  ASSERT_TRUE(kv.reserve(g).is_ok());
  kv.publish(1, chain);
  kv.truncate(1, 6);
  EXPECT_EQ(kv.match(chain, 8).blocks, 2) << "nothing was written yet";
  ASSERT_TRUE(kv.reserve(again).is_ok());
  EXPECT_EQ(kv.match(chain, 8).blocks, 1);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
}

TEST(BlockAllocator, GivesBackWhatFellOutOfTheWindowAndMatchesWithoutIt) {
  BlockAllocator kv(8, 4, /*window=*/6);
  const auto chain = chain_of(counting(20), 4);
  const Growth g[] = {{1, 20}};
  ASSERT_TRUE(kv.reserve(g).is_ok());
  kv.publish(1, chain);
  kv.drop_unseen(1);  // position 20 sees 15 to 20
  EXPECT_EQ(kv.used_blocks(), 2);
  EXPECT_EQ(table_of(kv, 1)[2], kNoBlock);
  EXPECT_NE(table_of(kv, 1)[3], kNoBlock);
  const Growth five[] = {{2, 20}};  // takes three empty blocks and two of the dropped
  ASSERT_TRUE(kv.reserve(five).is_ok());
  kv.release(2);
  const PrefixMatch match = kv.match(chain, 20);
  EXPECT_EQ(match.blocks, 5);
  EXPECT_EQ(match.missing, 3) << "of them only the beginning is left, and it is not seen";
  EXPECT_EQ(kv.match(chain, 19).blocks, 1) << "16 tokens would need blocks 2 and 3";
  kv.attach(3, chain, match);
  EXPECT_EQ(kv.length(3), 20);
  EXPECT_EQ(table_of(kv, 3)[4], table_of(kv, 1)[4]);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
  kv.release(1);
  kv.release(3);
  EXPECT_EQ(kv.free_blocks(), 8);
}

TEST(BlockAllocator, CanForkWhereTheNextPositionStillSeesEverything) {
  BlockAllocator kv(8, 4, /*window=*/6);
  const Growth g[] = {{1, 10}}, more[] = {{1, 20}};
  EXPECT_FALSE(kv.can_fork(1, 1)) << "unknown";
  ASSERT_TRUE(kv.reserve(g).is_ok());
  EXPECT_TRUE(kv.can_fork(1, 10));
  EXPECT_FALSE(kv.can_fork(1, 11)) << "more than it has";
  EXPECT_FALSE(kv.can_fork(1, 0)) << "nothing to share";
  ASSERT_TRUE(kv.reserve(more).is_ok());
  kv.drop_unseen(1);  // blocks 0 to 2: position 20 sees 15 to 20
  EXPECT_FALSE(kv.can_fork(1, 10));
  EXPECT_FALSE(kv.can_fork(1, 16)) << "position 16 sees 11";
  EXPECT_TRUE(kv.can_fork(1, 17));
  kv.fork(1, 2);
  kv.truncate(2, 17);
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
}

}  // namespace
}  // namespace ferrum
