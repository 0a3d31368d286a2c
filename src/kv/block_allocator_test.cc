#include "kv/block_allocator.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

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

TEST(BlockAllocator, SharedBlocksLiveUntilTheLastHolderLetsGo) {
  BlockAllocator kv(4, 4);
  const Growth g[] = {{1, 9}};
  ASSERT_TRUE(kv.reserve(g).is_ok());
  kv.share(1, 2, 8);
  EXPECT_EQ(kv.used_blocks(), 3);
  kv.release(1);
  EXPECT_EQ(kv.used_blocks(), 2);
  const Growth more[] = {{2, 9}};
  ASSERT_TRUE(kv.reserve(more).is_ok());
  EXPECT_EQ(kv.violations(), std::vector<std::string>{});
  kv.release(2);
  EXPECT_EQ(kv.free_blocks(), 4);
}

TEST(BlockAllocatorDeathTest, RefusesToWriteIntoASharedBlock) {
  BlockAllocator kv(4, 4);
  const Growth g[] = {{1, 8}};
  ASSERT_TRUE(kv.reserve(g).is_ok());
  kv.share(1, 2, 8);
  kv.truncate(2, 6);
  const Growth into_shared[] = {{2, 7}};
  EXPECT_DEATH((void)kv.reserve(into_shared), "shared KV block");
}

// The naive model: for every sequence what was "written" at each position. A write goes to (block, offset) of a fake
// memory; when two sequences own one block without sharing it, or a table moves, reading back differs.
class ModelCheck {
 public:
  ModelCheck(int blocks, int block_size, uint64_t seed) : kv_(blocks, block_size), memory_(), rng_(seed) {
    memory_.assign(static_cast<size_t>(blocks * block_size), -1);
  }

  void run(int operations) {
    for (int i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
      switch (pick(8)) {
        case 0:
        case 1:
        case 2:
        case 3: grow(/*keep=*/true); break;
        case 4: grow(/*keep=*/false); break;
        case 5: truncate(); break;
        case 6:
          kv_.release(any());
          contents_.erase(last_);
          break;
        case 7: share(); break;
      }
      check(i);
    }
    EXPECT_GT(refused_, 0) << "the pool was never exhausted: the test would not see an overcommit";
    EXPECT_GT(shared_, 0);
  }

 private:
  int pick(int n) { return static_cast<int>(rng_() % static_cast<uint64_t>(n)); }
  SeqId any() { return last_ = static_cast<SeqId>(pick(12)); }
  int blocks(int tokens) const { return (tokens + kv_.block_size() - 1) / kv_.block_size(); }
  int& cell(SeqId seq, int p) {
    const BlockId b = kv_.table(seq)[static_cast<size_t>(p / kv_.block_size())];
    return memory_[static_cast<size_t>(b * kv_.block_size() + p % kv_.block_size())];
  }
  // A grown sequence may not write into a block that somebody shares with it: the engine never does.
  bool writes_shared(SeqId seq) {
    const int length = static_cast<int>(contents_[seq].size());
    if (length % kv_.block_size() == 0) return false;
    for (const auto& [other, content] : contents_) {
      if (other == seq || content.empty()) continue;
      const auto theirs = kv_.table(other);
      if (std::find(theirs.begin(), theirs.end(), kv_.table(seq).back()) != theirs.end()) return true;
    }
    return false;
  }
  int used() const {
    std::set<BlockId> distinct;
    for (const auto& [seq, content] : contents_) {
      const auto t = kv_.table(seq);
      distinct.insert(t.begin(), t.end());
    }
    return static_cast<int>(distinct.size());
  }

  void grow(bool keep) {
    std::map<SeqId, int> target;
    int needed = 0;
    for (int n = 1 + pick(4); n > 0; --n) {
      const SeqId seq = any();
      const int length = static_cast<int>(contents_[seq].size());
      if (target.count(seq) != 0 || writes_shared(seq)) continue;
      target[seq] = length + pick(2 * kv_.block_size() + 2);
      needed += blocks(target[seq]) - blocks(length);
    }
    std::vector<Growth> growths;
    for (const auto& [seq, tokens] : target) growths.push_back({seq, tokens});
    const int free = kv_.num_blocks() - used();
    auto result = kv_.reserve(growths);
    ASSERT_EQ(result.is_ok(), needed <= free) << "needed " << needed << ", free " << free;
    if (!result.is_ok()) {
      ++refused_;
      return;
    }
    for (const auto& [seq, tokens] : target) {
      for (int p = static_cast<int>(contents_[seq].size()); p < tokens; ++p) {
        cell(seq, p) = ++stamp_;
        if (keep) contents_[seq].push_back(stamp_);
      }
    }
    if (!keep) kv_.rollback(std::move(result).value());
  }
  void truncate() {
    auto& content = contents_[any()];
    content.resize(static_cast<size_t>(pick(static_cast<int>(content.size()) + 1)));
    kv_.truncate(last_, static_cast<int>(content.size()));
  }
  void share() {
    const SeqId from = any(), to = any();
    if (from == to || !contents_[to].empty()) return;
    const auto& source = contents_[from];
    const int full = static_cast<int>(source.size()) / kv_.block_size();
    const int tokens = pick(full + 1) * kv_.block_size();
    shared_ += tokens > 0;
    kv_.share(from, to, tokens);
    contents_[to].assign(source.begin(), source.begin() + tokens);
  }
  void check(int operation) {
    ASSERT_EQ(kv_.violations(), std::vector<std::string>{}) << "after operation " << operation;
    ASSERT_EQ(kv_.used_blocks(), used()) << "after operation " << operation;
    for (const auto& [seq, content] : contents_) {
      ASSERT_EQ(kv_.length(seq), static_cast<int>(content.size()));
      for (size_t p = 0; p < content.size(); ++p) {
        ASSERT_EQ(cell(seq, static_cast<int>(p)), content[p])
            << "sequence " << seq << " position " << p << " after operation " << operation;
      }
    }
  }

  BlockAllocator kv_;
  std::vector<int> memory_;
  std::map<SeqId, std::vector<int>> contents_;
  std::mt19937_64 rng_;
  SeqId last_ = 0;
  int stamp_ = 0;
  int refused_ = 0;
  int shared_ = 0;
};

TEST(BlockAllocatorModelCheck, AgreesWithANaiveModelOver200000Operations) {
  ModelCheck(24, 4, 1).run(100'000);
  ModelCheck(9, 1, 2).run(50'000);
  ModelCheck(17, 16, 3).run(50'000);
}

}  // namespace
}  // namespace ferrum
