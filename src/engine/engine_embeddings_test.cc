// Input embeddings in, hidden states out, over the fake model, whose embedding table is known: rows of it say the same
// as the ids. What real forward passes make of it is shown in tests/engine_mixed_models_test.cc.
#include <gtest/gtest.h>

#include <bit>
#include <limits>

#include "engine/engine_harness_for_test.h"
#include "engine/workload_for_test.h"

namespace ferrum {
namespace {

std::vector<TokenId> long_prompt(int count = 30) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < count; ++i) prompt.push_back(static_cast<TokenId>(3 + i * 7 % 30));
  return prompt;
}

// Rows of the table for the ids in [begin, end).
Request embedded(Request r, size_t begin, size_t end) {
  std::vector<float> rows;
  for (size_t i = begin; i < end; ++i) {
    const std::vector<float> row = fake_embedding(std::exchange(r.prompt[i], kNoToken));
    rows.insert(rows.end(), row.begin(), row.end());
  }
  r.embeddings = std::make_shared<const std::vector<float>>(std::move(rows));
  return r;
}
Request embedded(Request r) {
  const size_t size = r.prompt.size();
  return embedded(std::move(r), 0, size);
}

// With the lowest bit of its last number turned.
Request changed(Request r) {
  std::vector<float> rows = *r.embeddings;
  rows.back() = std::bit_cast<float>(std::bit_cast<uint32_t>(rows.back()) ^ 1);
  r.embeddings = std::make_shared<const std::vector<float>>(std::move(rows));
  return r;
}

Request wanting(Request r, HiddenPositions of, HiddenStates states = HiddenStates::kPostNorm) {
  r.hidden = states;
  r.hidden_of = of;
  return r;
}

CoreOptions cached() {
  CoreOptions o = roomy();
  o.prefix_cache = true;
  return o;
}

TEST(EngineEmbeddings, RowsOfTheTableGiveTheTokensOfTheirIds) {
  const Request ids = endless(long_prompt(), 40);
  const Heard expected = Harness().alone(ids);
  for (const auto& [begin, end] : {std::pair<size_t, size_t>(0, 30), {0, 1}, {29, 30}, {7, 19}}) {
    const Heard heard = Harness().alone(embedded(ids, begin, end));
    expect_same(heard, expected);
    EXPECT_EQ(heard.last.usage.prompt_tokens, 30);
  }
  EXPECT_NE(Harness().alone(changed(embedded(ids))).tokens, expected.tokens) << "the numbers have no effect";
}

// A pool that holds one of them: all others are preempted, read again and sampled on.
TEST(EngineEmbeddings, SurvivePreemptionAmongOrdinaryRequests) {
  CoreOptions o = roomy();
  o.num_blocks = 25;
  o.scheduler.max_batched_tokens = 9;
  for (const bool prefix_cache : {false, true}) {
    o.prefix_cache = prefix_cache;
    Harness h(o);
    std::vector<Request> ids, asked;
    for (int i = 0; i < 6; ++i) {
      Request r = endless(long_prompt(20 + i), 60);
      r.sampling.seed = static_cast<uint64_t>(i);
      ids.push_back(r);
      asked.push_back(i % 2 == 0 ? embedded(r, 3, 15 + static_cast<size_t>(i)) : r);
    }
    const std::vector<Heard> heard = h.together(asked);
    EXPECT_GT(h.core.stats().preemptions, 3u);
    for (size_t i = 0; i < ids.size(); ++i) expect_same(heard[i], Harness().alone(ids[i]));
  }
}

// The cache finds embeddings by their bytes, for the same tenant, and never for ids or for other embeddings. What is
// found changes nothing.
TEST(EngineEmbeddings, AreFoundInTheCacheByTheirBytesAlone) {
  Harness h(cached());
  const Request ids = endless(long_prompt(33), 10);
  const Request rows = embedded(ids);
  const Heard expected = Harness().alone(ids);
  const auto expect_cached = [&](const Request& r, int tokens, const char* what) {
    const Heard heard = h.alone(r);
    EXPECT_EQ(heard.last.usage.cached_tokens, tokens) << what;
    return heard;
  };
  expect_same(expect_cached(rows, 0, "first"), expected);
  expect_same(expect_cached(rows, 32, "again"), expected);
  expect_same(expect_cached(ids, 0, "as ids, though they mean the same"), expected);
  expect_same(expect_cached(ids, 32, "as ids again"), expected);
  expect_same(expect_cached(rows, 32, "still there"), expected);
  expect_cached(changed(rows), 32, "the last row is in no full block");
  Request first_changed = embedded(ids, 0, 1);
  expect_cached(first_changed, 0, "one embedding before ids that are cached");
  expect_cached(changed(first_changed), 0, "another one");
  Request salted = rows;
  salted.cache_salt = "another";
  expect_cached(salted, 0, "another tenant");
}

// A block begun by embeddings and filled by decoding is found too.
TEST(EngineEmbeddings, ASecondTurnFindsTheFirst) {
  Harness h(cached());
  const Request first = embedded(endless(long_prompt(30), 10));
  const Heard answer = h.alone(first);
  Request second = first;
  second.prompt.insert(second.prompt.end(), answer.tokens.begin(), answer.tokens.end());
  for (const TokenId token : {4, 5, 6}) second.prompt.push_back(token);
  const Heard heard = h.alone(second);
  EXPECT_EQ(heard.last.usage.cached_tokens, 36);  // of 39 that were computed
  expect_same(heard, Harness().alone(second));
}

TEST(EngineEmbeddings, ChoicesShareOnePrompt) {
  Harness h(cached());
  const Request ids = endless(long_prompt(), 20);
  std::array<Heard, 3> heard;
  std::vector<EventSink> sinks;
  for (Heard& one : heard) sinks.emplace_back([&one](Event e) { one(std::move(e)); });
  ASSERT_TRUE(h.core.submit(embedded(ids), std::move(sinks)).is_ok());
  h.run();
  EXPECT_EQ(h.core.stats().prompt_tokens, 30u + 2);
  for (uint64_t i = 0; i < heard.size(); ++i) {
    Request one = ids;
    one.sampling.seed = 5 + i;
    expect_same(heard[i], Harness().alone(one));
  }
}

// Embeddings have no ids that penalties could count, guesses repeat, or a draft model read.
TEST(EngineEmbeddings, ArePassedOverByWhatLooksAtIds) {
  CoreOptions o = roomy_for_guesses(true);
  FakeRunner* draft = new FakeRunner(o.num_blocks, o.block_size);
  Harness h(o, std::make_unique<DraftModel>(draft_limits(o, 0), std::unique_ptr<StepRunner>(draft)));
  h.runner->habit = draft->habit = 6;
  Request r = endless(long_prompt(), 60);
  r.prompt.resize(10);
  for (int i = 0; i < 20; ++i) r.prompt.push_back(r.prompt[static_cast<size_t>(i % 5)]);
  Harness plain(roomy_for_guesses());
  plain.runner->habit = 6;
  const Heard expected = plain.alone(r);
  r.speculation = SpeculationParams{.mode = SpeculationMode::kBoth};
  const Heard heard = h.alone(embedded(r, 2, r.prompt.size()));
  expect_same(heard, expected);
  EXPECT_GT(heard.last.usage.drafted_tokens, 0) << "of generated text, guesses are made";
  EXPECT_EQ(draft->steps(), 0);
  r.speculation->mode = SpeculationMode::kDraft;
  EXPECT_EQ(h.alone(embedded(r)).last.usage.drafted_tokens, 0);
  EXPECT_EQ(draft->steps(), 0);

  Request penalised = request(long_prompt(5), 30);
  penalised.stop.ignore_eos = true;
  penalised.sampling.presence_penalty = 2;
  EXPECT_EQ(Harness().alone(embedded(penalised)).tokens.size(), 30u);
}

TEST(EngineEmbeddings, HiddenStatesAreThoseOfThePromptHoweverItIsCut) {
  const Request plain = request(long_prompt(), 3);
  for (const HiddenStates kind : {HiddenStates::kPreNorm, HiddenStates::kPostNorm}) {
    const Request all = wanting(plain, HiddenPositions::kAll, kind);
    const std::vector<float> whole = Harness().alone(all).hidden;
    ASSERT_EQ(whole.size(), 30 * kFakeHidden);
    CoreOptions chunks = roomy();
    chunks.scheduler.max_batched_tokens = 7;
    EXPECT_EQ(Harness(chunks).alone(all).hidden, whole);
    EXPECT_EQ(Harness().alone(embedded(all)).hidden, whole);

    const std::vector<float> last(whole.end() - kFakeHidden, whole.end());
    EXPECT_EQ(Harness(chunks).alone(wanting(plain, HiddenPositions::kLast, kind)).hidden, last);
    std::vector<float> mean;
    for (size_t i = 0; i < kFakeHidden; ++i) {
      double sum = 0;
      for (size_t p = 0; p < 30; ++p) sum += static_cast<double>(whole[p * kFakeHidden + i]);
      mean.push_back(static_cast<float>(sum / 30));
    }
    EXPECT_EQ(Harness(chunks).alone(wanting(plain, HiddenPositions::kMean, kind)).hidden, mean);
  }
  const Request pre = wanting(plain, HiddenPositions::kLast, HiddenStates::kPreNorm);
  EXPECT_NE(Harness().alone(pre).hidden, Harness().alone(wanting(plain, HiddenPositions::kLast)).hidden);
}

TEST(EngineEmbeddings, HiddenStatesAloneNeedNoToken) {
  Harness h;
  Request r = wanting(embedded(request(long_prompt(), 0)), HiddenPositions::kLast);
  const Heard heard = h.alone(r);
  EXPECT_EQ(heard.events, 1);
  EXPECT_EQ(heard.hidden.size(), kFakeHidden);
  EXPECT_TRUE(heard.tokens.empty());
  EXPECT_EQ(heard.last.reason, FinishReason::kLength);
}

// A backbone is driven so: its last state makes the next embedding, and all before it is in the cache.
TEST(EngineEmbeddings, ABackboneIsDrivenOneEmbeddingAtATime) {
  Harness h(cached());
  std::vector<TokenId> ids = long_prompt(20);
  for (int step = 0; step < 12; ++step) {
    const Request r = wanting(request(ids, 0), HiddenPositions::kLast, HiddenStates::kPreNorm);
    const Heard heard = h.alone(embedded(r));
    EXPECT_EQ(heard.hidden, Harness().alone(r).hidden);
    EXPECT_EQ(heard.last.usage.cached_tokens, step == 0 ? 0 : (19 + step) / 4 * 4);
    ids.push_back(static_cast<TokenId>(3 + step));
  }
}

// Only what nobody has seen is computed for them, and nobody sees a state twice.
TEST(EngineEmbeddings, HiddenStatesSurvivePreemptionAndIgnoreTheCacheWhereTheyMust) {
  CoreOptions o = roomy();
  o.num_blocks = 26;
  o.scheduler.max_batched_tokens = 9;
  o.prefix_cache = true;
  Harness h(o);
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) {
    const auto of = std::array{HiddenPositions::kAll, HiddenPositions::kMean, HiddenPositions::kLast};
    requests.push_back(wanting(endless(long_prompt(24), 60), of[static_cast<size_t>(i % 3)],
                               i < 3 ? HiddenStates::kPreNorm : HiddenStates::kPostNorm));
    requests.back().sampling.seed = static_cast<uint64_t>(i);
  }
  const std::vector<Heard> heard = h.together(requests);
  EXPECT_GT(h.core.stats().preemptions, 3u);
  for (size_t i = 0; i < requests.size(); ++i) {
    expect_same(heard[i], Harness().alone(requests[i]));
    if (i % 3 != 2) {
      EXPECT_EQ(heard[i].last.usage.cached_tokens, 0);
    }
  }
  EXPECT_EQ(h.alone(requests[2]).last.usage.cached_tokens, 20) << "the last position's state needs no other";
}

TEST(EngineEmbeddings, AStateThatIsNoNumberEndsTheRequestAlone) {
  Harness h;
  h.runner->nan_states_of = kFakePoison;
  Request poisoned = wanting(request(long_prompt(), 0), HiddenPositions::kMean);
  poisoned.prompt[3] = kFakePoison;
  const Request good = wanting(request(long_prompt(), 0), HiddenPositions::kMean);
  const std::vector<Heard> heard = h.together({poisoned, good});
  EXPECT_EQ(heard[0].last.reason, FinishReason::kError);
  EXPECT_NE(heard[0].last.error.message().find("hidden state of position 3 is NaN"), std::string::npos);
  EXPECT_TRUE(heard[0].hidden.empty());
  EXPECT_EQ(heard[1].hidden.size(), kFakeHidden);
}

TEST(EngineEmbeddings, WhatCannotBeIsRefusedWithTheReason) {
  Harness h;
  const auto expect_refused = [&](const Request& r, const std::string& words) {
    const auto id = h.core.submit(r, [](Event) { FAIL(); });
    ASSERT_FALSE(id.is_ok()) << words;
    EXPECT_EQ(id.status().code(), StatusCode::kInvalidArgument);
    EXPECT_NE(id.status().message().find(words), std::string::npos) << id.status().message();
  };
  const Request good = embedded(request(long_prompt(10), 5), 2, 6);
  const auto with_numbers = [&](std::vector<float> numbers) {
    Request r = good;
    r.embeddings = std::make_shared<const std::vector<float>>(std::move(numbers));
    return r;
  };
  std::vector<float> numbers = *good.embeddings;
  numbers.pop_back();
  expect_refused(with_numbers(numbers), "15 numbers; the 4 positions without a token take 4 each");
  expect_refused(with_numbers({}), "0 numbers");
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), -HUGE_VALF}) {
    numbers = *good.embeddings;
    numbers[9] = bad;
    expect_refused(with_numbers(numbers), "embedding 2 is NaN or infinite at 1");
  }
  Request r = good;
  r.embeddings = nullptr;
  expect_refused(r, "names token -1");
  r = request(long_prompt(10), 5);
  r.embeddings = good.embeddings;
  expect_refused(r, "no position of its prompt is without a token");
  r = good;
  r.prompt[3] = -2;
  expect_refused(r, "names token -2");
  r = good;
  r.sampling.logprobs = 1;
  r.prompt_logprobs = true;
  expect_refused(r, "prompt_logprobs");
  r = embedded(request(long_prompt(200), 1));
  expect_refused(r, "200 tokens, but the context length is 200");
  EXPECT_TRUE(*h.core.step() == false);
}

}  // namespace
}  // namespace ferrum
