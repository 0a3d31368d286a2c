// Random arrivals, lengths, cancels, deadlines and failed steps against a pool that is too small for all. The test
// keeps its own account of what each sequence has computed, sampled and scored, and of what each tenant was served, and
// checks every plan against it. Texts are of two tokens, so that they begin alike; the KV of a position is a hash of
// its text, kept in a fake memory at the slots of the plan, so that a wrong match, a wrong copy, or a block of the
// window that was given away, is seen.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "sched/scheduler.h"

namespace ferrum {
namespace {

// Virtual token counters as the paper has them: none is ever forgotten.
class NaiveShares {
 public:
  void begins_to_wait(int tenant) {
    if (waiting_[tenant]++ > 0) return;
    std::optional<uint64_t> least;
    for (const auto& [t, count] : waiting_) {
      if (count > 0 && t != tenant) least = std::min(least.value_or(served[t]), served[t]);
    }
    served[tenant] = std::max(served[tenant], least ? *least : served[last_]);
  }
  void waits_no_more(int tenant) {
    if (--waiting_[tenant] == 0) last_ = tenant;
  }
  std::map<int, uint64_t> served;

 private:
  std::map<int, int> waiting_;
  int last_ = 0;
};

class Simulation {
 public:
  explicit Simulation(uint64_t seed)
      : rng_(seed),
        blocks_(2 + pick(30)),
        block_size_(1 << pick(5)),
        limits_{1 + pick(6), 1 + pick(40), 0, pick(20), pick(3) == 0 ? 1 + pick(20) : 0, pick(3) == 0 ? 1 + pick(6) : 0,
                pick(3) == 0},
        window_(pick(3) == 0 ? 1 + pick(3 * block_size_) : 0),
        caches_(pick(3) != 0),
        kv_(blocks_, block_size_, window_),
        memory_(static_cast<size_t>(blocks_ * block_size_)),
        scheduler_((limits_.max_logits = limits_.max_seqs + 1 + pick(10),
                    limits_.policy = static_cast<QueuePolicy>(pick(3)), limits_.ageing_ns = 1 + pick(300), limits_),
                   kv_) {}

  void run() {
    int arrivals = 10 + pick(30);
    while ((arrivals > 0 || !live_.empty()) && !::testing::Test::HasFailure()) {
      while (arrivals > 0 && pick(3) == 0) submit({pick(7) - 3, pick(3), pick(4) == 0}), --arrivals;
      if (!live_.empty() && pick(40) == 0) cancel();
      offer();
      step();
    }
    EXPECT_EQ(kv_.used_blocks(), 0);
  }

  // The first few are the least urgent, of one tenant; then more urgent ones of other tenants never cease to come.
  void run_under_pressure(int max_steps) {
    for (int i = 0; i < 3; ++i) submit({3, 0, false});
    const SeqId last_victim = last_id_;
    int steps = 0;
    while (!live_.empty() && live_.begin()->first <= last_victim && !::testing::Test::HasFailure()) {
      ASSERT_LT(++steps, max_steps) << "sequence " << live_.begin()->first << " starves";
      while (scheduler_.waiting() < std::min(limits_.max_waiting, 4)) submit({-3, 1 + pick(2), false});
      step();
    }
  }

  int preemptions() const { return preemptions_; }
  int drafts() const { return drafts_; }
  uint64_t saved() const { return kv_.prefix_stats().saved_tokens; }
  uint64_t evictions() const { return kv_.prefix_stats().evictions; }
  int dropped() const { return dropped_; }
  int forks() const { return forks_; }
  int expired() const { return expired_; }

 private:
  struct Wish {
    int priority = 0, tenant = 0;
    bool dated = false;  // with deadlines
  };
  struct Live {
    int prompt = 0, total = 0, max_tokens = 0, computed = 0;
    bool score = false;
    int scored = 0;                        // positions [0, scored) have had their logits seen
    int sampled = 0;                       // tokens sampled
    int offered = 0;                       // drafts, at most
    std::pair<int64_t, SeqId> order = {};  // of arrival, or of priority and arrival
    int tenant = 0;
    bool runs = false, started = false;
    int64_t start_by = kNever, finish_by = kNever;
    SeqId twin = 0;
    std::vector<TokenId> text = {};
    std::vector<uint64_t> kv = {};  // of each position
    PrefixChain chain = {};
  };

  int pick(int n) { return static_cast<int>(rng_() % static_cast<uint64_t>(n)); }

  void submit(const Wish& wish) {
    const int pool = blocks_ * block_size_;
    const int prompt = 1 + pick(std::max(1, pool / (1 + pick(4)))), max_tokens = prompt + pick(pool);
    Live live{prompt, prompt, max_tokens, 0, pick(4) == 0};
    live.tenant = wish.tenant;
    if (caches_) live.chain = PrefixChain({1, 2}, std::to_string(wish.tenant), block_size_);
    if (wish.dated) live.start_by = now_ + pick(500), live.finish_by = now_ + pick(2000);
    const auto prefix = extend(live, prompt);
    const bool first = submit(live, wish, prefix);
    const int copies = first && pick(4) == 0 ? 1 + pick(4) : 0;  // n choices of one prompt
    live.twin = last_id_;
    for (int i = 0; i < copies; ++i) submit(live, wish, prefix);
  }
  bool submit(Live live, const Wish& wish, const std::vector<PrefixHash>& prefix) {
    const bool fits = kv_.blocks_for(std::max(live.prompt, live.max_tokens - 1)) <= blocks_;
    const bool full =
        scheduler_.waiting() >= limits_.max_waiting && scheduler_.waiting() + scheduler_.running() >= limits_.max_seqs;
    const bool ranked = limits_.policy != QueuePolicy::kFcfs;
    live.scored = live.score ? 0 : live.prompt - 1;
    live.order = {ranked ? now_ + wish.priority * limits_.ageing_ns : 0, ++last_id_};
    const Status status = scheduler_.submit({.id = last_id_,
                                             .prompt_tokens = live.prompt,
                                             .max_tokens = live.max_tokens,
                                             .score_prompt = live.score,
                                             .prefix = prefix,
                                             .submitted = now_,
                                             .priority = wish.priority,
                                             .tenant = "tenant " + std::to_string(wish.tenant),
                                             .start_by = live.start_by,
                                             .finish_by = live.finish_by,
                                             .twin = live.twin});
    EXPECT_EQ(status.is_ok(), fits && !full) << status.message();
    if (!status.is_ok()) return false;
    shares_.begins_to_wait(live.tenant);
    live_[last_id_] = std::move(live);
    return true;
  }
  // Mostly the same token, so that texts begin alike.
  std::vector<PrefixHash> extend(Live& s, int tokens) {
    for (; tokens > 0; --tokens) {
      s.text.push_back(pick(16) == 0 ? 1 : 0);
      const uint64_t before = s.kv.empty() ? static_cast<uint64_t>(s.tenant) : s.kv.back();
      s.kv.push_back((before + static_cast<uint64_t>(s.text.back()) + 1) * 0x9e3779b97f4a7c15u ^ (before >> 29));
    }
    return s.chain.extend(s.text);
  }
  uint64_t& at(BlockId block, int offset) { return memory_.at(static_cast<size_t>(block * block_size_ + offset)); }
  uint64_t& cell(SeqId seq, int position) {
    return at(kv_.table(seq)[static_cast<size_t>(position / block_size_)], position % block_size_);
  }
  // What attention would read of the tokens before the row.
  void check_visible(const PlannedRow& r, const Live& s) {
    for (int p = window_ > 0 ? std::max(0, r.begin - window_ + 1) : 0; p < r.begin; ++p) {
      ASSERT_NE(kv_.table(r.seq)[static_cast<size_t>(p / block_size_)], kNoBlock);
      ASSERT_EQ(cell(r.seq, p), s.kv[static_cast<size_t>(p)]) << "sequence " << r.seq << " position " << p;
    }
    dropped_ += static_cast<int>(std::count(kv_.table(r.seq).begin(), kv_.table(r.seq).end(), kNoBlock));
  }
  void forget(std::map<SeqId, Live>::iterator it) {
    if (!it->second.runs) shares_.waits_no_more(it->second.tenant);
    live_.erase(it);
  }
  void cancel() {
    const auto victim = std::next(live_.begin(), pick(static_cast<int>(live_.size())));
    scheduler_.remove(victim->first);
    forget(victim);
  }
  void expire() {
    const auto gone = scheduler_.expire(now_);
    expired_ += static_cast<int>(gone.size());
    for (SeqId id : gone) {
      const Live& s = live_.at(id);
      ASSERT_TRUE(s.finish_by <= now_ || (!s.started && s.start_by <= now_));
      forget(live_.find(id));
    }
    for (const auto& [id, s] : live_) ASSERT_TRUE(s.finish_by > now_ && (s.started || s.start_by > now_));
  }

  void offer() {
    for (auto& [id, s] : live_) {
      if (s.sampled == 0 || pick(3) != 0) continue;
      scheduler_.offer_drafts(id, s.offered = pick(9));
    }
  }

  void step() {
    now_ += pick(60);
    ASSERT_NO_FATAL_FAILURE(expire());
    const auto first = first_running();
    auto plan = scheduler_.plan();
    ASSERT_EQ(plan.has_value(), !live_.empty());
    if (!plan) return;
    ASSERT_NO_FATAL_FAILURE(check_order(*plan, first));
    for (const BlockCopy& copy : plan->reservation.copies) {
      for (int i = 0; i < block_size_; ++i) at(copy.to, i) = at(copy.from, i);
    }
    ASSERT_NO_FATAL_FAILURE(check(*plan));
    if (pick(30) == 0) {
      for (const PlannedRow& r : plan->rows) {  // half done
        for (int p = r.begin; p < r.begin + r.count; ++p) cell(r.seq, p) = ~uint64_t{0};
      }
      scheduler_.rollback(std::move(*plan));
    } else {
      commit(std::move(*plan));
    }
    ASSERT_EQ(scheduler_.violations(), std::vector<std::string>{});
  }

  SeqId first_running() const {
    std::pair<int64_t, SeqId> first{kNever, 0};
    for (const auto& [id, s] : live_) {
      if (s.runs) first = std::min(first, s.order);
    }
    return first.second;
  }
  // Who is to be admitted next: of the tenant that was served least, or of all, the first.
  SeqId next_waiting(const std::vector<SeqId>& barred) {
    std::pair<uint64_t, std::pair<int64_t, SeqId>> next{~uint64_t{0}, {}};
    for (const auto& [id, s] : live_) {
      if (s.runs || std::count(barred.begin(), barred.end(), id) > 0) continue;
      const uint64_t share = limits_.policy == QueuePolicy::kFair ? shares_.served[s.tenant] : 0;
      next = std::min(next, {share, s.order});
    }
    return next.second.second;
  }

  // Victims come after all that stay; nobody overtakes on the way in; the first of those that run has a row.
  void check_order(const StepPlan& plan, SeqId first) {
    for (SeqId id : plan.preempted) {
      Live& s = live_.at(id);
      ASSERT_TRUE(s.runs);
      s.runs = false;
      s.computed = s.offered = 0;
      shares_.begins_to_wait(s.tenant);
      ++preemptions_;
    }
    for (SeqId id : plan.preempted) {
      for (const auto& [other, s] : live_) {
        ASSERT_TRUE(!s.runs || s.order < live_.at(id).order) << id << " was preempted and " << other << " was not";
      }
    }
    admitted_.clear();
    for (const PlannedRow& r : plan.rows) {
      Live& s = live_.at(r.seq);
      if (s.runs) continue;
      admitted_.insert(r.seq);
      ASSERT_EQ(r.seq, next_waiting(plan.preempted)) << "a sequence was overtaken";
      if (!s.started) shares_.served[s.tenant] += static_cast<uint64_t>(s.total - r.begin);
      shares_.waits_no_more(s.tenant);
      s.runs = s.started = true;
      if (r.begin > 0) check_start(r, s);
    }
    const auto has_row = [&](SeqId id) {
      return std::any_of(plan.rows.begin(), plan.rows.end(), [&](const PlannedRow& r) { return r.seq == id; });
    };
    ASSERT_TRUE(first == 0 || has_row(first)) << "the first of those that run has no row";
  }
  // A newcomer that need not compute its beginning.
  void check_start(const PlannedRow& r, Live& s) {
    const auto twin = live_.find(s.twin);
    const bool shares = twin != live_.end() && twin->second.runs && twin->second.computed >= r.begin &&
                        r.begin == std::min(s.prompt - 1, s.scored);
    ASSERT_TRUE(shares || (caches_ && r.begin % block_size_ == 0));
    ASSERT_LE(r.begin, s.scored);
    forks_ += shares ? 1 : 0;
    s.computed = r.begin;
  }

  void check(const StepPlan& plan) {
    std::set<SeqId> seen;
    int tokens = 0, logits = 0, prompt_tokens = 0;
    bool decodes = false;
    for (const PlannedRow& r : plan.rows) {
      ASSERT_TRUE(seen.insert(r.seq).second) << "two rows of one sequence";
      const Live& s = live_.at(r.seq);
      ASSERT_EQ(r.begin, s.computed);
      ASSERT_NO_FATAL_FAILURE(check_visible(r, s));
      ASSERT_GE(r.count, 1);
      const int known = r.count - r.drafts;
      ASSERT_LE(r.begin + known, s.total);
      ASSERT_EQ(r.samples, r.begin + known == s.total);
      ASSERT_LE(r.drafts, s.offered);
      ASSERT_TRUE(r.drafts == 0 || (known == 1 && r.samples && s.total + r.drafts < s.max_tokens));
      // Logits of every position that nobody has seen, and of none that somebody has.
      ASSERT_EQ(r.logit_count, std::max(0, r.begin + r.count - std::max(s.scored, r.begin)));
      ASSERT_TRUE(!r.samples || r.logit_count >= 1);
      ASSERT_EQ(kv_.length(r.seq), r.begin + r.count);
      tokens += r.count;
      logits += r.logit_count;
      drafts_ += r.drafts;
      const bool decode = s.total - s.computed == 1;
      decodes = decodes || (decode && s.sampled > 0 && admitted_.count(r.seq) == 0);
      if (!decode) prompt_tokens += r.count;
    }
    if (limits_.active_decode_prefill_chunk > 0 && decodes) {
      ASSERT_LE(prompt_tokens, limits_.active_decode_prefill_chunk);
    }
    ASSERT_LE(tokens, limits_.max_batched_tokens);
    ASSERT_LE(logits, limits_.max_logits);
    ASSERT_EQ(tokens, plan.num_tokens);
    ASSERT_EQ(logits, plan.num_logits);
  }

  void commit(StepPlan plan) {
    std::vector<RowOutcome> outcomes;
    for (const PlannedRow& r : plan.rows) {
      Live& s = live_.at(r.seq);
      s.computed = r.begin + r.count - r.drafts;
      s.offered = 0;
      s.scored = std::max(s.scored, s.computed);
      RowOutcome outcome;
      if (r.samples) {
        const int gained = 1 + pick(r.drafts + 1);
        outcome.finished = s.total + gained >= s.max_tokens || pick(50) == 0;
        outcome.new_tokens = outcome.finished ? pick(gained + 1) : gained;
        if (!outcome.finished) s.computed += outcome.new_tokens - 1;
        s.total += outcome.new_tokens;
        s.sampled += outcome.new_tokens;
        s.scored = std::max(s.scored, s.computed);
        outcome.prefix = extend(s, outcome.new_tokens);
        shares_.served[s.tenant] += 2 * static_cast<uint64_t>(outcome.new_tokens);
      }
      const int right = r.begin + r.count - r.drafts + std::max(0, outcome.new_tokens - 1);
      for (int p = r.begin; p < r.begin + r.count; ++p) {
        cell(r.seq, p) = p < right ? s.kv[static_cast<size_t>(p)] : ~uint64_t{0};
      }
      if (outcome.finished) forget(live_.find(r.seq));
      outcomes.push_back(outcome);
    }
    scheduler_.commit(std::move(plan), outcomes);
  }

  std::mt19937_64 rng_;
  int blocks_, block_size_;
  SchedulerLimits limits_;
  int window_;
  bool caches_;
  BlockAllocator kv_;
  std::vector<uint64_t> memory_;
  Scheduler scheduler_;
  std::map<SeqId, Live> live_;
  NaiveShares shares_;
  std::set<SeqId> admitted_;  // in the present step
  SeqId last_id_ = 0;
  int64_t now_ = 0;
  int preemptions_ = 0, drafts_ = 0, dropped_ = 0, forks_ = 0, expired_ = 0;
};

// The first of those that run has a row in every step, and a row is progress towards a bounded length: so every run
// ends.
TEST(SchedulerSimulation, NothingIsLostAndNobodyIsOvertakenOver6000RandomArrivalPatterns) {
  int preemptions = 0, drafts = 0, dropped = 0, forks = 0, expired = 0;
  uint64_t saved = 0, evictions = 0;
  for (uint64_t seed = 0; seed < 6000 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation simulation(seed);
    simulation.run();
    preemptions += simulation.preemptions();
    drafts += simulation.drafts();
    dropped += simulation.dropped();
    saved += simulation.saved();
    evictions += simulation.evictions();
    forks += simulation.forks();
    expired += simulation.expired();
  }
  EXPECT_GT(saved, 10000u) << "no prefix was found";
  EXPECT_GT(evictions, 1000u) << "nothing was evicted";
  EXPECT_GT(dropped, 1000) << "nothing fell out of a window";
  EXPECT_GT(preemptions, 1000) << "the pools were never short";
  EXPECT_GT(drafts, 10000) << "nothing was guessed";
  EXPECT_GT(forks, 1000) << "nothing was shared with a twin";
  EXPECT_GT(expired, 1000) << "nobody's time was up";
}

// A head start is worth a bounded time, and a share that others have had makes them wait: whoever comes, the first ones
// finish. Without either this does not end.
TEST(SchedulerSimulation, NobodyStarvesThoughMoreUrgentOnesNeverCeaseToCome) {
  for (uint64_t seed = 0; seed < 1000 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Simulation(seed).run_under_pressure(20'000);
  }
}

}  // namespace
}  // namespace ferrum
