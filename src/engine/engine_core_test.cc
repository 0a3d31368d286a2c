// The life of a request, over the fake model.
#include "engine/engine_core.h"

#include <gtest/gtest.h>

#include "engine/engine_harness_for_test.h"

namespace ferrum {
namespace {

TEST(EngineCore, TextIsTheTokensDecodedAndUsageCounts) {
  Harness h;
  const Heard heard = h.alone(endless({5, 6, 7}, 50));
  EXPECT_EQ(heard.last.reason, FinishReason::kLength);
  EXPECT_EQ(heard.tokens.size(), 50u);
  EXPECT_EQ(heard.last.usage.prompt_tokens, 3);
  EXPECT_EQ(heard.last.usage.completion_tokens, 50);
  EXPECT_EQ(heard.last.usage.seed, 5u);
  EXPECT_GE(heard.last.usage.prefill_seconds, 0);
  EXPECT_EQ(heard.events, 50);
  const auto tokenizer = std::make_shared<FakeTokenizer>();
  TextStream stream(tokenizer);
  std::string text;
  for (const TokenId t : heard.tokens) text += stream.push(t);
  EXPECT_EQ(heard.text, text + stream.finish());
}

TEST(EngineCore, TheEndTokenEndsTheAnswerAndIsNotPartOfIt) {
  Harness h;
  Request r = request({4}, 20);
  r.sampling.logit_bias = {{kFakeEnd, 100.0f}};
  const Heard heard = h.alone(r);
  EXPECT_EQ(heard.last.reason, FinishReason::kStop);
  EXPECT_TRUE(heard.tokens.empty());
  EXPECT_EQ(heard.text, "");
  EXPECT_EQ(heard.last.usage.completion_tokens, 1);
  r.stop.ignore_eos = true;
  EXPECT_EQ(h.alone(r).tokens, std::vector<TokenId>(20, kFakeEnd));
  r.sampling.logit_bias = {{9, 100.0f}};
  r.stop.stop_token_ids = {9};
  EXPECT_TRUE(h.alone(r).tokens.empty());
}

TEST(EngineCore, StopStringsCutTheTextWhereverTokensEnd) {
  Harness h;
  const Request plain = endless({5, 6, 7}, 60);
  const std::string full = h.alone(plain).text;
  int across = 0;
  for (size_t at = 5; at + 4 < full.size(); at += 3) {
    if ((static_cast<uint8_t>(full[at]) & 0xc0) == 0x80 || (static_cast<uint8_t>(full[at + 4]) & 0xc0) == 0x80)
      continue;
    const std::string stop = full.substr(at, 4);
    if (stop.find("\xef\xbf\xbd") != std::string::npos) continue;
    for (bool include : {false, true}) {
      Request r = plain;
      r.stop.stop = {stop};
      r.stop.include_stop = include;
      const Heard heard = h.alone(r);
      const size_t found = full.find(stop);
      ASSERT_EQ(heard.text, full.substr(0, found + (include ? 4 : 0)));
      EXPECT_EQ(heard.last.reason, FinishReason::kStop);
      EXPECT_EQ(heard.last.stop_match, stop);
      across += FakeTokenizer().piece(heard.tokens.back(), false).size() < 4;
    }
  }
  EXPECT_GT(across, 10) << "no stop string spanned tokens";
}

TEST(EngineCore, MaxTokensZeroScoresThePrompt) {
  Harness h;
  Request r = request({5, 6, 7, 8}, 0);
  r.sampling.logprobs = 2;
  r.prompt_logprobs = true;
  const Heard heard = h.alone(r);
  EXPECT_EQ(heard.last.reason, FinishReason::kLength);
  EXPECT_TRUE(heard.tokens.empty());
  ASSERT_EQ(heard.prompt_logprobs.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(heard.prompt_logprobs[i].chosen.token, r.prompt[i + 1]);
    EXPECT_LT(heard.prompt_logprobs[i].chosen.logprob, 0);
    EXPECT_EQ(heard.prompt_logprobs[i].top.size(), 2u);
  }
}

TEST(EngineCore, PromptLogprobsDoNotDependOnHowThePromptIsCut) {
  Request r = request(std::vector<TokenId>(90, 3), 5);
  for (size_t i = 0; i < r.prompt.size(); ++i) r.prompt[i] = static_cast<TokenId>(3 + i * i % 30);
  r.sampling.logprobs = 1;
  r.prompt_logprobs = true;
  Harness wide;
  CoreOptions narrow = roomy();
  narrow.scheduler = {2, 7, 4, 10};
  Harness cut(narrow);
  const Heard a = wide.alone(r), b = cut.alone(r);
  ASSERT_EQ(a.prompt_logprobs.size(), 89u);
  ASSERT_EQ(b.prompt_logprobs.size(), 89u);
  for (size_t i = 0; i < 89; ++i) EXPECT_EQ(a.prompt_logprobs[i].chosen.logprob, b.prompt_logprobs[i].chosen.logprob);
  EXPECT_EQ(a.tokens, b.tokens);
}

TEST(EngineCore, ARequestWithBadLogitsFailsAlone) {
  Harness h;
  Heard good, bad;
  const Heard expected = Harness().alone(endless({5, 6}, 60));
  h.submit(endless({5, 6}, 60), good);
  h.submit(endless({kFakePoison, 8, 9}, 60), bad);
  h.run();
  EXPECT_EQ(bad.last.reason, FinishReason::kError);
  EXPECT_EQ(bad.last.error.code(), StatusCode::kInternal);
  EXPECT_EQ(bad.tokens.size(), 8u) << "what came before the NaN was delivered";
  EXPECT_EQ(good.tokens, expected.tokens);
}

TEST(EngineCore, AnErrorNamesWhatMadeTheLogitsBad) {
  Harness h;
  h.runner->cause = "the router of layer 3 gave NaN";
  Heard good, bad;
  h.submit(endless({5, 6}, 60), good);
  h.submit(endless({kFakePoison, 8, 9}, 60), bad);
  h.run();
  EXPECT_NE(bad.last.error.message().find("the router of layer 3"), std::string::npos) << bad.last.error.message();
  EXPECT_TRUE(good.last.error.is_ok());
}

TEST(EngineCore, AFailedStepEndsItsRequestsAndNoOthers) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 2;
  Harness h(o);
  Heard first, second, queued;
  const Heard expected = Harness().alone(endless({9}, 20));
  h.runner->fail_at_step = 3;
  h.submit(endless({5, 6}, 60), first);
  h.submit(endless({7, 8}, 60), second);
  h.submit(endless({9}, 20), queued);
  h.run();
  for (const Heard* heard : {&first, &second}) {
    EXPECT_EQ(heard->last.reason, FinishReason::kError);
    EXPECT_NE(heard->last.error.message().find("the fake device fell over"), std::string::npos);
    EXPECT_EQ(heard->tokens.size(), 3u);
  }
  EXPECT_EQ(queued.tokens, expected.tokens);
}

TEST(EngineCore, CancelsWaitingAndRunningRequestsAndIgnoresUnknownOnes) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 1;
  Harness h(o);
  Heard running, waiting, from_sink;
  const RequestId a = h.submit(endless({5}, 100), running);
  const RequestId b = h.submit(endless({6}, 100), waiting);
  RequestId c = 0;
  const auto submitted = h.core.submit(endless({7}, 100), [&](Event e) {
    from_sink(std::move(e));
    if (from_sink.tokens.size() == 4) h.core.cancel(c);
  });
  c = *submitted;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(*h.core.step());
  h.core.cancel(b);
  h.core.cancel(b);
  h.core.cancel(987654);
  ASSERT_TRUE(*h.core.step());
  EXPECT_EQ(waiting.last.reason, FinishReason::kCancelled);
  EXPECT_EQ(waiting.events, 1);
  h.core.cancel(a);
  h.run();
  EXPECT_EQ(running.last.reason, FinishReason::kCancelled);
  EXPECT_EQ(running.tokens.size(), 6u);
  EXPECT_EQ(from_sink.last.reason, FinishReason::kCancelled);
  EXPECT_EQ(from_sink.tokens.size(), 4u);
}

TEST(EngineCore, RefusesWhatIsWrongAndSaysWhat) {
  Harness h;
  const auto refusal = [&](auto change) {
    Request r = request({1, 2, 3}, 5);
    change(r);
    const auto result = h.core.submit(r, [](Event) { FAIL() << "an event of a refused request"; });
    EXPECT_FALSE(result.is_ok());
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument);
    return result.status().message();
  };
  const auto expect = [&](const std::string& part, auto change) {
    const std::string message = refusal(change);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  expect("the prompt is empty", [](Request& r) { r.prompt.clear(); });
  expect("has 200 tokens, but the context length is 200", [](Request& r) { r.prompt.assign(200, 1); });
  expect("position 1 names token 40; the model's ids go from 0 to 39", [](Request& r) { r.prompt[1] = 40; });
  expect("position 2 names token -1", [](Request& r) { r.prompt[2] = -1; });
  expect("temperature", [](Request& r) { r.sampling.temperature = std::nanf(""); });
  expect("temperature", [](Request& r) { r.sampling.temperature = -1; });
  expect("top_p", [](Request& r) { r.sampling.top_p = 1.5f; });
  expect("logprobs", [](Request& r) { r.sampling.logprobs = 1 << 20; });
  expect("logit_bias names token 77", [](Request& r) { r.sampling.logit_bias = {{77, 1.0f}}; });
  expect("must be finite", [](Request& r) { r.sampling.logit_bias = {{7, std::nanf("")}}; });
  expect("stop_token_ids names token -3", [](Request& r) { r.stop.stop_token_ids = {-3}; });
  expect("must not be empty", [](Request& r) { r.stop.stop = {"a", ""}; });
  expect("stop has 33 entries", [](Request& r) { r.stop.stop.assign(33, "x"); });
  expect("2000 bytes", [](Request& r) { r.stop.stop = {std::string(2000, 'x')}; });
  expect("not valid UTF-8 at byte 1", [](Request& r) { r.stop.stop = {"a\xff"}; });
  expect("max_tokens", [](Request& r) { r.stop.max_tokens = -2; });
  expect("prompt_logprobs needs logprobs", [](Request& r) { r.prompt_logprobs = true; });
  EXPECT_EQ(h.core.stats().waiting, 0);
}

TEST(EngineCore, CutsMaxTokensAtTheContextLength) {
  Harness h;
  const Heard heard = h.alone(endless(std::vector<TokenId>(190, 4), 1 << 30));
  EXPECT_EQ(heard.tokens.size(), 10u);
  EXPECT_EQ(heard.last.reason, FinishReason::kLength);
}

TEST(EngineCore, RefusesBeyondTheQueueAndServesTheRest) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 1;
  o.scheduler.max_waiting = 2;
  Harness h(o);
  Heard a, b;
  h.submit(endless({5}, 3), a);
  h.submit(endless({6}, 3), b);
  const auto refused = h.core.submit(endless({7}, 3), [](Event) {});
  EXPECT_EQ(refused.status().code(), StatusCode::kCapacity);
  h.run();
  EXPECT_EQ(a.tokens.size(), 3u);
  EXPECT_EQ(b.tokens.size(), 3u);
}

TEST(EngineCore, DrainFinishesWhatRunsAndRefusesTheRest) {
  for (bool threaded : {false, true}) {
    Harness h;
    Heard a, b;
    if (threaded) h.core.start();
    h.submit(endless({5}, 40), a);
    h.submit(endless({6}, 40), b);
    h.core.drain();
    EXPECT_EQ(a.tokens.size(), 40u);
    EXPECT_EQ(b.tokens.size(), 40u);
    EXPECT_TRUE(a.last.finished && b.last.finished);
    EXPECT_EQ(h.core.submit(endless({5}, 1), [](Event) {}).status().code(), StatusCode::kCapacity);
  }
}

TEST(EngineCore, DestructionCancelsWhatRuns) {
  for (bool threaded : {false, true}) {
    Heard a, b;
    {
      CoreOptions o = roomy();
      o.scheduler.max_seqs = 1;
      Harness h(o);
      h.runner->delay = std::chrono::microseconds(200);
      if (threaded) h.core.start();
      h.submit(endless({5}, 190), a);
      h.submit(endless({6}, 190), b);
      if (!threaded) {
        ASSERT_TRUE(*h.core.step());
      }
    }
    EXPECT_EQ(a.last.reason, FinishReason::kCancelled);
    EXPECT_EQ(b.last.reason, FinishReason::kCancelled);
  }
}

TEST(EngineCore, AThrowingSinkCostsOnlyItsOwnRequest) {
  Harness h;
  Heard good;
  int calls = 0;
  h.submit(endless({5}, 20), good);
  ASSERT_TRUE(h.core
                  .submit(endless({6}, 20),
                          [&](Event e) {
                            ++calls;
                            if (!e.finished) throw std::runtime_error("client code");
                            EXPECT_EQ(e.reason, FinishReason::kCancelled);
                          })
                  .is_ok());
  h.run();
  EXPECT_EQ(good.tokens.size(), 20u);
  EXPECT_EQ(calls, 2);
}

TEST(EngineCore, TheRecordAgreesWithWhatClientsHeardAndWithTheCounters) {
  CoreOptions options = roomy();
  options.num_blocks = 14;  // of 4 tokens: three times 8 + 24 do not fit at once
  Harness h(options);
  std::vector<Heard> heard(4);
  const std::vector<TokenId> text = {3, 4, 5, 6, 7, 8, 9, 10};
  for (size_t i = 0; i < 3; ++i) h.submit(endless(text, 24), heard[i]);
  ASSERT_TRUE(*h.core.step());
  h.core.cancel(h.submit(endless(text, 24), heard[3]));
  h.run();
  const EngineStats stats = h.core.stats();
  const RecordSnapshot record = h.core.recorder().snapshot(h.core.recorder().limits());
  EXPECT_GT(stats.preemptions, 0u);
  EXPECT_TRUE(record.active.empty());
  ASSERT_EQ(record.finished.size(), 4u);
  uint64_t preemptions = 0;
  for (const RequestRecord& r : record.finished) {
    const Heard& told = heard[r.id - 1];
    EXPECT_EQ(r.generated, static_cast<int>(told.tokens.size()));
    EXPECT_EQ(r.reason, told.last.reason);
    EXPECT_EQ(r.prompt_tokens, 8);
    preemptions += static_cast<uint64_t>(r.preemptions);
  }
  EXPECT_EQ(preemptions, stats.preemptions);
  uint64_t prompt_tokens = 0, generated = 0;
  for (const StepRecord& s : record.steps) {
    prompt_tokens += static_cast<uint64_t>(s.prompt_tokens);
    generated += static_cast<uint64_t>(s.generated);
    EXPECT_LE(s.tokens, s.token_budget);
    EXPECT_LE(s.kv_used, s.kv_total);
  }
  EXPECT_EQ(record.steps.size(), stats.steps);
  EXPECT_EQ(prompt_tokens, stats.prompt_tokens);
  EXPECT_EQ(generated, stats.generated_tokens);
}

TEST(EngineCore, AStepThatFailsIsRecordedAsSuch) {
  Harness h;
  h.runner->fail_at_step = 1;
  Heard heard;
  h.submit(endless({5}, 20), heard);
  h.run();
  const RecordSnapshot record = h.core.recorder().snapshot({});
  ASSERT_EQ(record.steps.size(), 2u);
  EXPECT_TRUE(record.steps[1].failed);
  EXPECT_EQ(record.finished.at(0).reason, FinishReason::kError);
  EXPECT_EQ(record.finished.at(0).generated, 1);
}

TEST(EngineCore, AnIdleEngineSleeps) {
  Harness h;
  h.core.start();
  Heard heard;
  h.submit(endless({5}, 20), heard);
  while (h.core.stats().requests_finished == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double cpu = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(cpu, 0.1) << "seconds of processor time in 0.3 idle seconds";
}

CoreOptions caching() {
  CoreOptions o = roomy();
  o.prefix_cache = true;
  o.block_bytes = 100;
  return o;
}

// What a first turn computed, its answer included, is not computed again in the second.
TEST(EngineCorePrefixCache, ASecondTurnComputesOnlyWhatIsNew) {
  Harness h(caching());
  const Heard first = h.alone(endless({5, 6, 7, 8, 9, 10}, 31));
  EXPECT_EQ(first.last.usage.cached_tokens, 0);
  Request second = endless({5, 6, 7, 8, 9, 10}, 20);
  second.prompt.insert(second.prompt.end(), first.tokens.begin(), first.tokens.end());  // 37 tokens; 36 were computed
  second.prompt.insert(second.prompt.end(), {4, 4, 4});
  const uint64_t computed = h.core.stats().prompt_tokens;
  const Heard again = h.alone(second);
  EXPECT_EQ(again.last.usage.cached_tokens, 36);
  EXPECT_EQ(h.core.stats().prompt_tokens - computed, 4u);
  EXPECT_EQ(again.tokens, Harness().alone(second).tokens);

  const EngineStats stats = h.core.stats();
  EXPECT_EQ(stats.prefix_hits, 1u);
  EXPECT_EQ(stats.prefix_misses, 1u);
  EXPECT_EQ(stats.prefix_saved_tokens, 36u);
  EXPECT_EQ(stats.prefix_evictions, 0u);
  EXPECT_EQ(stats.prefix_entries, 14) << "40 tokens and 19 of 20 of the answer, in blocks of 4";
  EXPECT_EQ(stats.prefix_bytes, 1400);
}

TEST(EngineCorePrefixCache, ComputesAtLeastTheLastTokenAndScoresAWholePrompt) {
  Harness h(caching());
  Request r = endless({5, 6, 7, 8, 9, 10, 11, 12}, 5);
  r.sampling.logprobs = 0;
  r.prompt_logprobs = true;
  const Heard scored = h.alone(r);
  EXPECT_EQ(h.alone(r).last.usage.cached_tokens, 0);
  EXPECT_EQ(h.alone(r).prompt_logprobs.size(), scored.prompt_logprobs.size());
  r.prompt_logprobs = false;
  const Heard heard = h.alone(r);
  EXPECT_EQ(heard.last.usage.cached_tokens, 4) << "of 8: the second block holds the last token";
  EXPECT_EQ(heard.tokens, scored.tokens);
}

TEST(EngineCorePrefixCache, OneSaltDoesNotFindWhatAnotherComputed) {
  Harness h(caching());
  Request r = endless({5, 6, 7, 8, 9, 10, 11, 12, 13}, 5);
  r.cache_salt = "a";
  (void)h.alone(r);
  EXPECT_EQ(h.alone(r).last.usage.cached_tokens, 8);
  r.cache_salt = "b";
  EXPECT_EQ(h.alone(r).last.usage.cached_tokens, 0);
  r.cache_salt = "";
  EXPECT_EQ(h.alone(r).last.usage.cached_tokens, 0);
}

TEST(EngineCorePrefixCache, FindsNothingWhenItIsOff) {
  Harness h;
  const Request r = endless({5, 6, 7, 8, 9, 10, 11, 12, 13}, 5);
  (void)h.alone(r);
  EXPECT_EQ(h.alone(r).last.usage.cached_tokens, 0);
  EXPECT_EQ(h.core.stats().prefix_hits + h.core.stats().prefix_misses, 0u);
  EXPECT_EQ(h.core.stats().prefix_entries, 0);
}

// A step that failed leaves nothing behind that another request would take for computed.
TEST(EngineCorePrefixCache, AFailedStepIsNotFound) {
  CoreOptions o = caching();
  o.scheduler.max_batched_tokens = 8;
  Harness h(o);
  h.runner->fail_at_step = 1;
  Request r;
  for (TokenId t = 3; t < 30; ++t) r.prompt.push_back(t);
  r.stop.max_tokens = 3;
  r.stop.ignore_eos = true;
  r.sampling.temperature = 0;
  EXPECT_EQ(h.alone(r).last.reason, FinishReason::kError);
  const Heard heard = h.alone(r);
  EXPECT_EQ(heard.last.usage.cached_tokens, 8) << "the first step's";
  EXPECT_EQ(heard.tokens, Harness().alone(r).tokens);
}

}  // namespace
}  // namespace ferrum
