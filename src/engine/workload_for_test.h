// Random requests and random tight engines to run them on, and what it means that two runs told the same.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/engine_core.h"
#include "engine/fakes_for_test.h"

namespace ferrum {

class Workload {
 public:
  explicit Workload(uint64_t seed) : rng_(seed), openings_{random_tokens(50), random_tokens(50)} {}

  int pick(int n) { return static_cast<int>(rng_() % static_cast<uint64_t>(n)); }

  Request request() {
    Request r;
    if (pick(2) == 0) {  // two texts begin the same way
      r.prompt = openings_[static_cast<size_t>(pick(2))];
      r.prompt.resize(static_cast<size_t>(pick(51)));
    }
    const std::vector<TokenId> rest = random_tokens(1 + pick(60 - static_cast<int>(r.prompt.size())));
    r.prompt.insert(r.prompt.end(), rest.begin(), rest.end());
    if (pick(4) == 0) r.cache_salt = "another tenant";
    r.stop.max_tokens = pick(5) == 0 ? -1 : pick(90);
    r.stop.ignore_eos = pick(4) != 0;
    if (pick(3) == 0) r.stop.stop = {"abcab", "cccc", "babab"};
    r.stop.include_stop = pick(4) == 0;
    r.sampling = sampling();
    r.prompt_logprobs = r.sampling.logprobs >= 0 && pick(2) == 0;
    if (pick(3) != 0) r.speculation = speculation();
    if (pick(4) == 0) {
      r.hidden = pick(2) == 0 ? HiddenStates::kPreNorm : HiddenStates::kPostNorm;
      r.hidden_of = std::array{HiddenPositions::kLast, HiddenPositions::kAll,
                               HiddenPositions::kMean}[static_cast<size_t>(pick(3))];
    }
    return r;
  }
  // Drops what is refused or means something else where positions have no ids.
  static Request embeddable(Request r) {
    r.prompt_logprobs = false;
    r.sampling.repetition_penalty = 1;
    r.sampling.frequency_penalty = 0;
    return r;
  }
  // An embeddable request in which rows of the model's embedding table stand for some of the ids, in runs.
  Request embedded(Request r, const std::function<std::vector<float>(TokenId)>& row_of) {
    std::vector<float> rows;
    bool embeds = pick(2) == 0;
    for (TokenId& id : r.prompt) {
      if (pick(6) == 0) embeds = !embeds;
      if (!embeds) continue;
      const std::vector<float> row = row_of(std::exchange(id, kNoToken));
      rows.insert(rows.end(), row.begin(), row.end());
    }
    if (!rows.empty()) r.embeddings = std::make_shared<const std::vector<float>>(std::move(rows));
    return r;
  }

  // A pool that holds one longest sequence, and often not much more.
  CoreOptions tight() {
    CoreOptions o;
    o.block_size = 1 << pick(5);
    o.requests = limits();
    o.num_blocks = (130 + o.block_size - 1) / o.block_size * (1 + pick(3)) + pick(5);
    const int seqs = 2 + pick(10);
    o.scheduler = {seqs, 1 + pick(50), seqs + 1 + pick(20), 1000};
    o.prefix_cache = pick(3) != 0;
    o.window = pick(3) == 0 ? 2 + pick(40) : 0;  // the fake model looks back one position
    return o;
  }
  static CoreOptions roomy() {
    CoreOptions o;
    o.block_size = 16;
    o.requests = limits();
    o.num_blocks = 100;
    o.scheduler = {4, 512, 600, 1000};
    return o;
  }

 private:
  static RequestLimits limits() {
    return {.vocab_size = kFakeVocab, .max_model_len = 130, .has_draft_model = true, .hidden_size = kFakeHidden};
  }
  std::vector<TokenId> random_tokens(int count) {
    std::vector<TokenId> tokens;
    for (; count > 0; --count) tokens.push_back(static_cast<TokenId>(pick(kFakeVocab - 1)));
    return tokens;
  }
  SamplingParams sampling() {
    SamplingParams p;
    p.seed = rng_();
    p.temperature = std::array{0.0f, 0.7f, 1.0f, 1.5f}[static_cast<size_t>(pick(4))];
    if (pick(3) == 0) p.top_k = 1 + pick(20);
    if (pick(3) == 0) p.top_p = 0.9f;
    if (pick(4) == 0) p.min_p = 0.1f;
    if (pick(4) == 0) p.typical_p = 0.8f;
    if (pick(3) == 0) {
      p.repetition_penalty = 1.2f;
      p.frequency_penalty = 0.3f;
      p.penalty_window = pick(2) == 0 ? -1 : 10;
    }
    if (pick(4) == 0) p.logit_bias = {{kFakeEnd, -5.0f}, {7, 2.0f}};
    if (pick(3) == 0) p.logprobs = pick(4);
    return p;
  }
  SpeculationParams speculation() {
    SpeculationParams p;
    p.mode = std::array{SpeculationMode::kNgram, SpeculationMode::kDraft,
                        SpeculationMode::kBoth}[static_cast<size_t>(pick(3))];
    p.max_draft = 1 + pick(12);
    p.ngram_min = 1 + pick(2);
    p.ngram_max = p.ngram_min + pick(3);
    return p;
  }
  std::mt19937_64 rng_;
  std::array<std::vector<TokenId>, 2> openings_;
};

// The limits of a draft model that sees as far as the target, for an engine with these options.
inline DraftModelLimits draft_limits(const CoreOptions& o, int window) {
  DraftModelLimits limits;
  limits.num_blocks = o.num_blocks;
  limits.block_size = o.block_size;
  limits.max_tokens = o.scheduler.max_batched_tokens + o.scheduler.max_seqs;
  limits.vocab_size = limits.target_vocab_size = static_cast<int>(o.requests.vocab_size);
  limits.max_context = o.requests.max_model_len;
  limits.window = window;
  limits.keeps_up = o.window > 0;
  return limits;
}

inline bool same(const std::vector<PositionLogprobs>& a, const std::vector<PositionLogprobs>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
    const auto equal = [](const TokenLogprob& s, const TokenLogprob& t) {
      return s.token == t.token && s.logprob == t.logprob;
    };
    return equal(x.chosen, y.chosen) && std::equal(x.top.begin(), x.top.end(), y.top.begin(), y.top.end(), equal);
  });
}

// cancelled: what was heard must be a beginning of what would have been heard.
inline void expect_same(const Heard& got, const Heard& expected) {
  ASSERT_TRUE(got.last.finished);
  if (got.last.reason == FinishReason::kCancelled) {
    ASSERT_LE(got.tokens.size(), expected.tokens.size());
    ASSERT_TRUE(std::equal(got.tokens.begin(), got.tokens.end(), expected.tokens.begin()));
    return;
  }
  ASSERT_EQ(got.tokens, expected.tokens);
  ASSERT_EQ(got.text, expected.text);
  ASSERT_EQ(got.last.reason, expected.last.reason);
  ASSERT_EQ(got.last.stop_match, expected.last.stop_match);
  ASSERT_EQ(got.last.usage.completion_tokens, expected.last.usage.completion_tokens);
  ASSERT_TRUE(same(got.logprobs, expected.logprobs));
  ASSERT_TRUE(same(got.prompt_logprobs, expected.prompt_logprobs));
  ASSERT_EQ(got.hidden, expected.hidden);
}

}  // namespace ferrum
