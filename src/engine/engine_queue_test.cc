// Who is served when, with how much computed, and for how long: choices, priorities, tenants, deadlines, a full queue.
#include <cmath>
#include <optional>

#include "engine/engine_harness_for_test.h"

namespace ferrum {
namespace {

std::vector<TokenId> prompt_of(int length) {
  std::vector<TokenId> prompt;
  for (int i = 0; i < length; ++i) prompt.push_back(3 + i * 7 % 30);
  return prompt;
}

// Submits n choices that all write into `heard`.
Result<std::vector<RequestId>> submit_choices(EngineCore& core, Request request, std::vector<Heard>& heard) {
  std::vector<EventSink> sinks;
  for (Heard& h : heard) sinks.emplace_back([&h](Event e) { h(std::move(e)); });
  return core.submit(std::move(request), std::move(sinks));
}

TEST(EngineChoices, EachIsWhatItsSeedGivesAloneAndThePromptIsReadOnce) {
  for (const bool cache : {true, false}) {
    CoreOptions o = roomy();
    o.prefix_cache = cache;
    o.scheduler.max_batched_tokens = 16;  // the prompt takes several steps
    Harness h(o);
    std::vector<Heard> heard(5);
    ASSERT_TRUE(submit_choices(h.core, endless(prompt_of(50), 30), heard).is_ok());
    h.run();
    EXPECT_EQ(h.core.stats().prompt_tokens, 50u + 4u) << "each choice computes the prompt's last token";
    for (size_t i = 0; i < heard.size(); ++i) {
      Request one = endless(prompt_of(50), 30);
      one.sampling.seed = 5 + i;
      const Heard alone = Harness().alone(one);
      EXPECT_EQ(heard[i].tokens, alone.tokens) << "choice " << i;
      EXPECT_EQ(heard[i].last.usage.seed, 5 + i);
      EXPECT_EQ(heard[i].last.usage.prompt_tokens, 50);
    }
  }
}

TEST(EngineChoices, AreTheSameWithFewPlacesAndAShortPool) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 2;
  o.num_blocks = 25;  // of which one sequence takes 20
  Harness h(o);
  std::vector<Heard> heard(5);
  ASSERT_TRUE(submit_choices(h.core, endless(prompt_of(50), 30), heard).is_ok());
  h.run();
  EXPECT_GT(h.core.stats().preemptions, 0u);
  for (size_t i = 0; i < heard.size(); ++i) {
    Request one = endless(prompt_of(50), 30);
    one.sampling.seed = 5 + i;
    EXPECT_EQ(heard[i].tokens, Harness().alone(one).tokens) << "choice " << i;
  }
}

TEST(EngineChoices, AreEachScoredWhereThePromptIs) {
  Harness h;
  Request r = endless(prompt_of(40), 3);
  r.prompt_logprobs = true;
  r.sampling.logprobs = 0;
  std::vector<Heard> heard(2);
  ASSERT_TRUE(submit_choices(h.core, r, heard).is_ok());
  h.run();
  EXPECT_EQ(heard[0].prompt_logprobs.size(), 39u);
  EXPECT_EQ(heard[1].prompt_logprobs.size(), 39u);
}

TEST(EngineChoices, AreTakenTogetherOrNotAtAll) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 2;
  o.scheduler.max_waiting = 3;
  Harness h(o);
  std::vector<Heard> two(2), four(4), six(6);
  ASSERT_TRUE(submit_choices(h.core, endless({5}, 3), two).is_ok());
  EXPECT_EQ(submit_choices(h.core, endless({5}, 3), four).status().code(), StatusCode::kCapacity);
  const Status never = submit_choices(h.core, endless({5}, 3), six).status();
  EXPECT_EQ(never.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(never.message().find("n is 6, but the engine takes at most 5"), std::string::npos) << never.message();
  h.run();
  EXPECT_EQ(two[1].tokens.size(), 3u);
  EXPECT_EQ(four[0].events, 0);
}

TEST(EngineChoices, OneCanBeCancelledAndTheOthersGoOn) {
  Harness h;
  std::vector<Heard> heard(3);
  const auto ids = submit_choices(h.core, endless(prompt_of(20), 30), heard);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(*h.core.step());
  h.core.cancel((*ids)[0]);
  h.run();
  EXPECT_EQ(heard[0].last.reason, FinishReason::kCancelled);
  EXPECT_EQ(heard[1].tokens.size(), 30u);
  EXPECT_EQ(heard[2].tokens.size(), 30u);
}

template <typename Name>
void submit_noting_its_end(Harness& h, const Request& r, Name name, std::vector<Name>& order) {
  const auto note = [name, &order](const Event& e) {
    if (e.finished) order.push_back(name);
  };
  ASSERT_TRUE(h.core.submit(r, note).is_ok());
}

TEST(EngineQueue, ServesByPriorityWhereThePolicySaysSoAndRefusesItElsewhere) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 1;
  o.scheduler.policy = o.requests.queue_policy = QueuePolicy::kPriority;
  std::vector<int> order;
  Harness h(o);
  const auto submit = [&](int priority) {
    Request r = endless({5, 6}, 4);
    r.priority = priority;
    submit_noting_its_end(h, r, priority, order);
  };
  for (const int priority : {0, 2, -1, 1}) submit(priority);
  h.run();
  EXPECT_EQ(order, (std::vector<int>{-1, 0, 1, 2}));
  Request r = endless({5, 6}, 4);
  r.priority = kMaxPriority + 1;
  Heard heard;
  EXPECT_EQ(h.core.submit(r, std::ref(heard)).status().code(), StatusCode::kInvalidArgument);
  r.priority = 1;
  const Status refused = Harness().core.submit(r, std::ref(heard)).status();
  EXPECT_EQ(refused.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("first come, first served"), std::string::npos);
}

TEST(EngineQueue, AFloodOfOneTenantDoesNotKeepAnotherWaiting) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 1;
  o.scheduler.policy = QueuePolicy::kFair;
  Harness h(o);
  std::vector<std::string> order;
  const auto submit = [&](const char* tenant) {
    Request r = endless({5, 6}, 4);
    r.tenant = tenant;
    submit_noting_its_end<std::string>(h, r, tenant, order);
  };
  for (int i = 0; i < 6; ++i) submit("flood");
  for (int i = 0; i < 2; ++i) submit("modest");
  h.run();
  EXPECT_EQ(std::vector<std::string>(order.begin(), order.begin() + 4),
            (std::vector<std::string>{"flood", "modest", "flood", "modest"}));
}

TEST(EngineQueue, TenantsDoNotFindEachOthersTextWhateverTheirSalt) {
  CoreOptions o = roomy();
  o.prefix_cache = true;
  Harness h(o);
  const auto cached = [&](const char* tenant, const char* salt) {
    Request r = endless(prompt_of(40), 2);
    r.tenant = tenant;
    r.cache_salt = salt;
    return h.alone(r).last.usage.cached_tokens;
  };
  EXPECT_EQ(cached("key 1", ""), 0);
  EXPECT_EQ(cached("key 1", ""), 36);
  EXPECT_EQ(cached("key 2", ""), 0);
  EXPECT_EQ(cached("", ""), 0);
  EXPECT_EQ(cached("key 1", "s"), 0);
  EXPECT_EQ(cached("key 1", "s"), 36);
  EXPECT_EQ(cached("key 1s", ""), 0);
  EXPECT_EQ(cached("", "key 1s"), 0);
  const EngineStats stats = h.core.stats();
  EXPECT_EQ(stats.prefix_hits, 2u);
  EXPECT_EQ(stats.prefix_misses, 6u);
  EXPECT_EQ(stats.prefix_saved_tokens, 72u);
  EXPECT_EQ(stats.prefix_queried_tokens, 8u * 40u);
}

struct Timed {
  explicit Timed(int max_seqs = 1) {
    CoreOptions o = roomy();
    o.scheduler.max_seqs = max_seqs;
    o.clock = [this] { return now; };
    harness.emplace(o);
  }
  void steps(int n, int64_t each_ms) {
    for (int i = 0; i < n; ++i) {
      now += each_ms * 1'000'000;
      ASSERT_TRUE(*harness->core.step());
    }
  }
  int64_t now = 1;
  std::optional<Harness> harness;
};

TEST(EngineDeadlines, EndWhatTakesTooLongWithWhatThereIs) {
  Timed t(2);
  Request r = endless({5, 6}, 100);
  r.timeout_seconds = 1;
  Heard late, free;
  t.harness->submit(r, late);
  t.harness->submit(endless({5, 6}, 100), free);
  t.steps(10, 99);
  EXPECT_FALSE(late.last.finished);
  t.steps(1, 99);
  EXPECT_EQ(late.last.reason, FinishReason::kTimeout);
  EXPECT_EQ(late.tokens, std::vector<TokenId>(free.tokens.begin(), free.tokens.begin() + 10));
  EXPECT_NE(late.last.error.message().find("before the answer was complete"), std::string::npos);
  t.harness->run();
  EXPECT_EQ(free.tokens.size(), 100u);
  EXPECT_EQ(t.harness->core.stats().requests_timed_out, 1u);
}

TEST(EngineDeadlines, EndWhatWaitsTooLongForItsTurnAndNothingThatHadIt) {
  Timed t(1);
  Request r = endless({5, 6}, 20);
  r.queue_timeout_seconds = 0.5;
  Heard runs, waits;
  t.harness->submit(r, runs);
  t.steps(1, 10);
  t.harness->submit(r, waits);
  t.steps(6, 100);
  EXPECT_EQ(waits.last.reason, FinishReason::kTimeout);
  EXPECT_TRUE(waits.tokens.empty());
  EXPECT_NE(waits.last.error.message().find("before its turn came"), std::string::npos);
  t.harness->run();
  EXPECT_EQ(runs.tokens.size(), 20u);
}

TEST(EngineDeadlines, AreRefusedOutOfRange) {
  Heard heard;
  for (const double seconds : {-1.0, 1e9, std::nan("")}) {
    Request r = endless({5}, 3);
    r.timeout_seconds = seconds;
    EXPECT_EQ(Harness().core.submit(r, std::ref(heard)).status().code(), StatusCode::kInvalidArgument) << seconds;
    std::swap(r.timeout_seconds, r.queue_timeout_seconds);
    EXPECT_EQ(Harness().core.submit(r, std::ref(heard)).status().code(), StatusCode::kInvalidArgument) << seconds;
  }
}

TEST(EngineWarmUp, IsOneStepThatNoFigureAndNoAnswerTellsOf) {
  CoreOptions o = roomy();
  o.prefix_cache = true;
  for (const int blocks : {1, 400}) {
    o.num_blocks = blocks;
    Harness h(o);
    ASSERT_TRUE(h.core.warm_up().is_ok());
    EXPECT_EQ(h.runner->steps(), 1);
    EXPECT_EQ(h.core.stats().steps + h.core.stats().prompt_tokens + h.core.stats().prefix_misses, 0u);
    EXPECT_TRUE(h.core.recorder().snapshot({}).steps.empty());
    EXPECT_EQ(h.alone(endless({5, 6}, 2)).tokens, Harness().alone(endless({5, 6}, 2)).tokens);
  }
  Harness broken(o);
  broken.runner->fail_at_step = 0;
  EXPECT_FALSE(broken.core.warm_up().is_ok());
}

// Everything that makes the queue longer or shorter shows at once.
TEST(EngineOverload, ARefusalIsKnownBeforeARequestIsMade) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 1;
  o.scheduler.max_waiting = 1;
  Harness h(o);
  Heard first, second, third;
  h.submit(endless({5, 6}, 9), first);
  ASSERT_TRUE(*h.core.step());
  EXPECT_TRUE(h.core.check_room().is_ok());
  const RequestId waits = h.submit(endless({5, 6}, 3), second);
  EXPECT_EQ(h.core.check_room().code(), StatusCode::kCapacity);
  EXPECT_EQ(h.core.submit(endless({5, 6}, 3), std::ref(third)).status().code(), StatusCode::kCapacity);
  h.core.cancel(waits);
  ASSERT_TRUE(*h.core.step());
  EXPECT_TRUE(h.core.check_room().is_ok());
  h.submit(endless({5, 6}, 3), third);
  EXPECT_FALSE(h.core.check_room().is_ok());
  h.run();
  EXPECT_TRUE(h.core.check_room().is_ok());
  h.core.drain();
  EXPECT_FALSE(h.core.check_room().is_ok());
}

TEST(EngineOverload, SaysWhenAFullQueueWillBeHalfEmpty) {
  CoreOptions o = roomy();
  o.scheduler.max_seqs = 1;
  int64_t now = 0;
  o.clock = [&now] { return now += 100'000'000; };  // so a step takes 0.1 s
  Harness h(o);
  EXPECT_TRUE(h.core.check_room().is_ok());
  EXPECT_EQ(h.core.retry_after_seconds(), 0);
  Heard heard[12];
  for (Heard& one : heard) h.submit(endless({5, 6}, 4), one);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(*h.core.step());  // four for each request
  EXPECT_EQ(h.core.stats().waiting, 10);
  EXPECT_NEAR(h.core.retry_after_seconds(), 6 * 0.4, 0.05);
}

}  // namespace
}  // namespace ferrum
