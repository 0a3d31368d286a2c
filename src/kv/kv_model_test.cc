// Random operations of allocator and prefix index against a naive model of both, every invariant after every operation.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "kv/block_allocator.h"

namespace ferrum {
namespace {

using Text = std::vector<TokenId>;

// What is "computed" for a position is a hash of the text up to there, and it is written to (block, offset) of a fake
// memory: a block in two hands, a copy that is missing, or a match of another text reads back something else. Texts are
// of two tokens, so that they often begin alike. The model of the index is a map from texts to blocks, and a list of
// those whose block is idle; swap space is a list of texts, and a second fake memory.
class ModelCheck {
 public:
  ModelCheck(int blocks, int block_size, int swap_places, uint64_t seed)
      : kv_(blocks, block_size, 0, swap_places),
        memory_(static_cast<size_t>(blocks * block_size)),
        swap_memory_(static_cast<size_t>(swap_places * block_size)),
        swap_places_(static_cast<size_t>(swap_places)),
        rng_(seed) {}

  void run(int operations) {
    for (int i = 0; i < operations && !::testing::Test::HasFailure(); ++i) {
      operate(pick(13));
      check(i);
    }
    EXPECT_GT(refused_, 0) << "the pool was never exhausted: the test would not see an overcommit";
    EXPECT_EQ(copies_ > 0, kv_.block_size() > 1) << "a block of one token is never shared half full";
    EXPECT_GT(kv_.prefix_stats().evictions, 0u);
    EXPECT_GT(revived_, 0);
    EXPECT_EQ(kv_.prefix_stats().swapped_in > 0, swap_places_ > 0);
  }

 private:
  int pick(int n) { return static_cast<int>(rng_() % static_cast<uint64_t>(n)); }
  SeqId any() { return static_cast<SeqId>(pick(8)); }
  Text random_text(int tokens) {
    Text text;
    for (; tokens > 0; --tokens) text.push_back(pick(2));
    return text;
  }
  std::vector<PrefixHash> chain(const Text& text) const {
    return PrefixChain({3, 4}, "", kv_.block_size()).extend(text);
  }
  static uint64_t computed(uint64_t before, TokenId token) {
    return (before + static_cast<uint64_t>(token) + 1) * 0x9e3779b97f4a7c15u ^ (before >> 29);
  }
  uint64_t& cell(SeqId seq, int p) {
    const BlockId b = kv_.table(seq)[static_cast<size_t>(p / kv_.block_size())];
    return memory_[static_cast<size_t>(b * kv_.block_size() + p % kv_.block_size())];
  }
  int holders(BlockId block) const {
    int count = 0;
    for (const auto& [seq, text] : texts_) {
      const auto table = kv_.table(seq);
      count += static_cast<int>(std::count(table.begin(), table.end(), block));
    }
    return count;
  }
  int used() const {
    std::set<BlockId> distinct;
    for (const auto& [seq, text] : texts_) {
      const auto table = kv_.table(seq);
      distinct.insert(table.begin(), table.end());
    }
    return static_cast<int>(distinct.size());
  }
  const Text* named(BlockId block) const {
    for (const auto& [text, b] : names_) {
      if (b == block) return &text;
    }
    return nullptr;
  }

  void operate(int which) {
    if (which < 5) return grow(/*keep=*/which < 4);
    if (which < 7) return shorten(any(), which == 5);
    if (which == 7) return fork();
    if (which < 12) return which < 10 ? publish(any()) : attach();
    if (pick(20) == 0) kv_.set_swapping(swapping_ = !swapping_);
    pick(50) == 0 ? forget() : adopt();
  }

  void grow(bool keep) {
    std::map<SeqId, int> target;
    for (int n = 1 + pick(3); n > 0; --n) {
      const SeqId seq = any();
      target[seq] = kv_.length(seq) + pick(2 * kv_.block_size() + 2);
    }
    int needed = 0;
    std::map<BlockId, int> writers;
    std::vector<Growth> growths;
    for (const auto& [seq, tokens] : target) {
      growths.push_back({seq, tokens});
      needed += kv_.blocks_for(tokens) - static_cast<int>(kv_.table(seq).size());
      if (kv_.length(seq) % kv_.block_size() != 0 && tokens > kv_.length(seq)) ++writers[kv_.table(seq).back()];
    }
    for (const auto& [block, count] : writers) needed += std::min(count, holders(block) - 1);
    const int free = kv_.num_blocks() - used();
    const int empty = free - static_cast<int>(idle_.size());
    auto result = kv_.reserve(growths);
    ASSERT_EQ(result.is_ok(), needed <= free) << "needed " << needed << ", free " << free;
    if (!result.is_ok()) {
      ++refused_;
      return;
    }
    for (int evicted = needed - empty; evicted > 0; --evicted) evict();
    move();
    // What is written in place has another content from now on.
    for (const auto& [block, count] : writers) {
      const Text* text = in_place(block, target) ? named(block) : nullptr;
      if (text != nullptr) names_.erase(Text(*text));
    }
    for (const BlockCopy& c : result->copies) {
      std::copy_n(memory_.begin() + c.from * kv_.block_size(), kv_.block_size(),
                  memory_.begin() + c.to * kv_.block_size());
      ++copies_;
    }
    for (const auto& [seq, tokens] : target) write(seq, tokens, keep);
    if (!keep) kv_.rollback(std::move(result).value());
  }
  void evict() {
    const Text text = idle_.front();
    names_.erase(text);
    idle_.erase(idle_.begin());
    const bool full = swapped_.size() + reserved_ >= swap_places_;
    if (!swapping_ || (full && swapped_.empty())) return;
    if (full) swapped_.erase(swapped_.begin());
    swapped_.push_back(text);
  }
  // Bytes did not come where they should be.
  void forget() {
    kv_.forget_contents();
    names_.clear();
    idle_.clear();
    swapped_.clear();
  }
  int empty_blocks() const { return kv_.num_blocks() - used() - static_cast<int>(idle_.size()); }
  // A text whose KV comes from elsewhere.
  void adopt() {
    const Text text = random_text(pick(5 * kv_.block_size()));
    const std::vector<PrefixHash> hashes = chain(text);
    std::vector<Text> known, unknown;
    for (int n = 1; n <= static_cast<int>(hashes.size()); ++n) {
      const Text block = beginning(text, n);
      (names_.count(block) != 0 ? known : unknown).push_back(block);
    }
    const auto is_known = [&](const Text& t) { return std::count(known.begin(), known.end(), t) != 0; };
    const int idle = static_cast<int>(std::count_if(idle_.begin(), idle_.end(), is_known));
    const int empty = empty_blocks();
    const auto to_fill = kv_.adopt(hashes, 0);
    ASSERT_EQ(to_fill.is_ok(), static_cast<int>(unknown.size()) <= empty + static_cast<int>(idle_.size()) - idle);
    if (!to_fill.is_ok()) return;
    ASSERT_EQ(to_fill->size(), unknown.size());
    std::vector<Text> held;
    std::copy_if(known.begin(), known.end(), std::back_inserter(held),
                 [&](const Text& t) { return std::count(idle_.begin(), idle_.end(), t) != 0; });
    std::erase_if(idle_, is_known);
    for (size_t i = 0; i < unknown.size(); ++i) {
      if (static_cast<int>(i) >= empty) evict();
      std::erase(swapped_, unknown[i]);
    }
    move();
    for (size_t i = 0; i < unknown.size(); ++i) {
      names_[unknown[i]] = (*to_fill)[i].second;
      uint64_t sum = 0;
      const int first = (*to_fill)[i].first * kv_.block_size();
      for (int p = 0; p < first + kv_.block_size(); ++p) {
        sum = computed(sum, text[static_cast<size_t>(p)]);
        if (p >= first) memory_[static_cast<size_t>((*to_fill)[i].second * kv_.block_size() + p - first)] = sum;
      }
    }
    idle_.insert(idle_.end(), unknown.rbegin(), unknown.rend());
    idle_.insert(idle_.end(), held.rbegin(), held.rend());
  }
  void move() {
    const int size = kv_.block_size();
    for (const KvMove& m : kv_.take_moves()) {
      const auto block = memory_.begin() + m.block * size;
      const auto place = swap_memory_.begin() + m.place * size;
      m.kind == KvMove::kOut ? std::copy_n(block, size, place) : std::copy_n(place, size, block);
    }
  }
  // Whether one of the grown sequences still ends in the block, and so wrote into it.
  bool in_place(BlockId block, const std::map<SeqId, int>& target) const {
    return std::any_of(target.begin(), target.end(), [&](const auto& t) {
      const Text* text = texts_.count(t.first) != 0 ? &texts_.at(t.first) : nullptr;
      if (text == nullptr || t.second == static_cast<int>(text->size())) return false;
      const size_t last = text->size() / static_cast<size_t>(kv_.block_size());
      return text->size() % static_cast<size_t>(kv_.block_size()) != 0 && kv_.table(t.first)[last] == block;
    });
  }
  // A step that fails leaves anything in the new places.
  void write(SeqId seq, int tokens, bool keep) {
    Text& text = texts_[seq];
    uint64_t before = text.empty() ? 0 : cell(seq, static_cast<int>(text.size()) - 1);
    for (int p = static_cast<int>(text.size()); p < tokens; ++p) {
      const TokenId token = pick(2);
      before = keep ? computed(before, token) : ~uint64_t{0};
      cell(seq, p) = before;
      if (keep) text.push_back(token);
    }
    if (text.empty()) texts_.erase(seq);
  }

  void shorten(SeqId seq, bool forget) {
    if (texts_.count(seq) == 0) return;
    Text& text = texts_[seq];
    const int tokens = forget ? 0 : pick(static_cast<int>(text.size()) + 1);
    const auto table = kv_.table(seq);
    const std::vector<BlockId> dropped(table.begin() + kv_.blocks_for(tokens), table.end());
    kv_.truncate(seq, tokens);
    text.resize(static_cast<size_t>(tokens));
    seen_[seq] = std::min(seen_[seq], tokens / kv_.block_size());
    if (tokens == 0) texts_.erase(seq);
    for (auto block = dropped.rbegin(); block != dropped.rend(); ++block) {
      const Text* name = holders(*block) == 0 ? named(*block) : nullptr;
      if (name != nullptr) idle_.push_back(*name);
    }
  }
  void fork() {
    const SeqId parent = any(), child = any();
    if (texts_.count(child) != 0 || texts_.count(parent) == 0) return;
    kv_.fork(parent, child);
    texts_[child] = texts_[parent];
    seen_[child] = seen_[parent];
  }
  void publish(SeqId seq) {
    if (texts_.count(seq) == 0) return;
    const Text& text = texts_[seq];
    kv_.publish(seq, chain(text));
    for (int& n = ++seen_[seq]; n <= static_cast<int>(text.size()) / kv_.block_size(); ++n) {
      const BlockId block = kv_.table(seq)[static_cast<size_t>(n - 1)];
      if (named(block) == nullptr && names_.emplace(beginning(text, n), block).second)
        std::erase(swapped_, beginning(text, n));
    }
    --seen_[seq];
  }
  Text beginning(const Text& text, int blocks) const {
    return Text(text.begin(), text.begin() + blocks * kv_.block_size());
  }
  void attach() {
    const SeqId seq = any();
    if (texts_.count(seq) != 0) return;
    const Text text = random_text(pick(6 * kv_.block_size()));
    const int most = pick(static_cast<int>(text.size()) + 2);
    int expected = 0, idle = 0, from_swap = 0;
    std::set<Text> wanted;
    while ((expected + 1) * kv_.block_size() <= std::min(most, static_cast<int>(text.size()))) {
      const Text block = beginning(text, expected + 1);
      if (names_.count(block) == 0 && std::count(swapped_.begin(), swapped_.end(), block) == 0) break;
      wanted.insert(block);
      ++expected;
    }
    const auto is_wanted = [&](const Text& t) { return wanted.count(t) != 0; };
    idle = static_cast<int>(std::count_if(idle_.begin(), idle_.end(), is_wanted));
    from_swap = static_cast<int>(std::count_if(swapped_.begin(), swapped_.end(), is_wanted));
    const PrefixMatch match = kv_.match(chain(text), most);
    ASSERT_EQ(match.blocks, expected);
    ASSERT_EQ(match.idle, idle + from_swap);
    const int empty = empty_blocks();
    if (from_swap > empty + static_cast<int>(idle_.size()) - idle) return;  // the scheduler would not
    std::erase_if(idle_, is_wanted);
    std::erase_if(swapped_, is_wanted);
    reserved_ = static_cast<size_t>(from_swap);
    for (int n = 0; n < from_swap; ++n) {
      if (n >= empty) evict();
      --reserved_;
    }
    kv_.attach(seq, chain(text), match);
    move();
    for (int n = 1; n <= expected; ++n) names_[beginning(text, n)] = kv_.table(seq)[static_cast<size_t>(n - 1)];
    revived_ += idle;
    if (expected > 0) texts_[seq] = beginning(text, expected);
    seen_[seq] = expected;
  }

  void check(int operation) {
    ASSERT_EQ(kv_.violations(), std::vector<std::string>{}) << "after operation " << operation;
    ASSERT_EQ(kv_.used_blocks(), used()) << "after operation " << operation;
    ASSERT_EQ(kv_.prefix_stats().entries, static_cast<int>(names_.size())) << "after operation " << operation;
    for (const auto& [seq, text] : texts_) {
      ASSERT_EQ(kv_.length(seq), static_cast<int>(text.size()));
      uint64_t expected = 0;
      for (size_t p = 0; p < text.size(); ++p) {
        expected = computed(expected, text[p]);
        ASSERT_EQ(cell(seq, static_cast<int>(p)), expected)
            << "sequence " << seq << " position " << p << " after operation " << operation;
      }
    }
  }

  BlockAllocator kv_;
  std::vector<uint64_t> memory_, swap_memory_;
  const size_t swap_places_;
  size_t reserved_ = 0;  // places of blocks that are on their way in
  bool swapping_ = true;
  std::vector<Text> swapped_;  // longest first
  std::map<SeqId, Text> texts_;
  std::map<SeqId, int> seen_;  // blocks that publish() was told of; each is offered once
  std::map<Text, BlockId> names_;
  std::vector<Text> idle_;  // longest first
  std::mt19937_64 rng_;
  int refused_ = 0, copies_ = 0, revived_ = 0;
};

TEST(KvModelCheck, AgreesWithANaiveModelOverAMillionOperations) {
  ModelCheck(16, 4, 0, 1).run(300'000);
  ModelCheck(16, 4, 12, 4).run(200'000);
  ModelCheck(9, 1, 3, 2).run(300'000);
  ModelCheck(12, 3, 40, 3).run(200'000);
}

}  // namespace
}  // namespace ferrum
