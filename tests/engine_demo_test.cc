// The whole engine, loaded from the demo model's file: text in, text out.
#include <gtest/gtest.h>

#include <filesystem>

#include "backend/registry.h"
#include "engine/engine.h"
#include "engine/fakes_for_test.h"

namespace ferrum {
namespace {

std::string model_path() { return std::string(FERRUM_SOURCE_DIR) + "/models/ferrum-demo.gguf"; }

std::unique_ptr<Engine> load(const EngineOptions& options) {
  auto engine = Engine::load(model_path(), options);
  if (!engine.is_ok()) {
    ADD_FAILURE() << engine.status().message();
    return nullptr;
  }
  return std::move(*engine);
}

std::vector<std::string> isas() {
  std::vector<std::string> all;
  for (const std::string_view isa : isa_choices()) {
    if (isa_available(isa)) all.emplace_back(isa);
  }
  return all;
}

// 16 requests of different text, length and parameters; every fourth is greedy.
std::vector<Request> mixed_requests(const Tokenizer& tokenizer) {
  const char* const openings[] = {"Once upon a time there was a",
                                  "Question: What is Ferrum?\nAnswer:", "12 + 7 =", "The little dog"};
  std::vector<Request> requests(16);
  for (size_t i = 0; i < requests.size(); ++i) {
    Request& r = requests[i];
    std::string text;
    for (size_t n = 0; n <= i % 5; ++n) text += std::string(openings[(i + n) % 4]) + " ";
    r.prompt = *tokenizer.encode(text, {});
    r.continues_text = true;
    r.stop.max_tokens = 8 + static_cast<int>(i * 7 % 30);
    r.stop.ignore_eos = i % 2 == 0;
    r.sampling.seed = 1000 + i;
    r.sampling.temperature = i % 4 == 0 ? 0.0f : 0.6f + 0.1f * static_cast<float>(i % 7);
    if (i % 4 == 1) r.sampling.top_p = 0.9f;
    if (i % 4 == 2) r.sampling.top_k = 40;
    if (i % 4 == 3) r.sampling.min_p = 0.05f;
    if (i % 5 == 0) r.sampling.frequency_penalty = 0.4f;
    if (i % 3 == 0) r.sampling.logprobs = 3;
    if (i % 3 == 1) r.stop.stop = {". ", "er a"};
  }
  return requests;
}

std::vector<Heard> run(Engine& engine, const std::vector<Request>& requests) {
  std::vector<Heard> heard(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    const auto id = engine.submit(requests[i], [&heard, i](Event e) { heard[i](std::move(e)); });
    EXPECT_TRUE(id.is_ok()) << id.status().message();
  }
  while (*engine.step()) {
  }
  return heard;
}

void expect_same(const std::vector<Heard>& got, const std::vector<Heard>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) {
    SCOPED_TRACE(::testing::Message() << "request " << i);
    EXPECT_EQ(got[i].tokens, expected[i].tokens);
    EXPECT_EQ(got[i].text, expected[i].text);
    EXPECT_EQ(got[i].last.reason, expected[i].last.reason);
    EXPECT_EQ(got[i].last.stop_match, expected[i].last.stop_match);
    ASSERT_EQ(got[i].logprobs.size(), expected[i].logprobs.size());
    for (size_t t = 0; t < expected[i].logprobs.size(); ++t) {
      EXPECT_EQ(got[i].logprobs[t].chosen.logprob, expected[i].logprobs[t].chosen.logprob);
    }
  }
}

TEST(EngineDemo, SixteenMixedRequestsGetWhatEachGetsAloneOnEveryInstructionSet) {
  for (const std::string& isa : isas()) {
    SCOPED_TRACE(isa);
    EngineOptions o;
    o.isa = isa;
    o.max_model_len = 128;
    o.max_batched_tokens = 64;
    const auto roomy = load(o);
    ASSERT_NE(roomy, nullptr);
    const std::vector<Request> requests = mixed_requests(*roomy->tokenizer());
    std::vector<Heard> alone;
    for (const Request& r : requests) alone.push_back(run(*roomy, {r}).front());
    expect_same(run(*roomy, requests), alone);
    EXPECT_EQ(roomy->stats().preemptions, 0u);

    o.kv_blocks = 70;  // of 2 tokens: one longest sequence and a little
    o.block_size = 2;
    const auto tight = load(o);
    ASSERT_NE(tight, nullptr);
    expect_same(run(*tight, requests), alone);
    EXPECT_GT(tight->stats().preemptions, 0u);
  }
}

// As above, every second request with speculation, and then all: the text must be the one without.
TEST(EngineDemo, SpeculationChangesNoTokenOnAnyInstructionSet) {
  for (const std::string& isa : isas()) {
    SCOPED_TRACE(isa);
    EngineOptions o;
    o.isa = isa;
    o.measure_guess_cost = false;
    o.max_model_len = 128;
    o.max_batched_tokens = 64;
    const auto plain = load(o);
    ASSERT_NE(plain, nullptr);
    std::vector<Request> requests = mixed_requests(*plain->tokenizer());
    const std::vector<Heard> expected = run(*plain, requests);
    o.kv_blocks = 70;
    o.block_size = 2;
    const auto tight = load(o);
    ASSERT_NE(tight, nullptr);
    for (const size_t first : {1, 0}) {
      for (size_t i = first; i < requests.size(); i += 2) requests[i].speculation = {SpeculationMode::kNgram, 6, 1, 4};
      expect_same(run(*tight, requests), expected);
    }
    EXPECT_GT(tight->stats().accepted_tokens, 10u);
    EXPECT_GT(tight->stats().preemptions, 0u);
  }
}

// The draft model is the model: with its own KV it must say what the target says, so a guess that is wrong is a KV that
// is wrong. The prompts of the second round are in the prefix cache.
TEST(EngineDemo, AModelThatDraftsForItselfIsAlwaysRight) {
  EngineOptions o;
  o.measure_guess_cost = false;
  o.max_model_len = 128;
  o.max_batched_tokens = 64;
  const auto plain = load(o);
  ASSERT_NE(plain, nullptr);
  std::vector<Request> requests = mixed_requests(*plain->tokenizer());
  for (Request& r : requests) {
    r.sampling.temperature = 0;
    r.sampling.frequency_penalty = 0;
    r.stop.ignore_eos = true;
    r.stop.stop.clear();
  }
  const std::vector<Heard> expected = run(*plain, requests);
  o.draft_model = model_path();
  o.speculation.mode = SpeculationMode::kDraft;
  o.kv_blocks = 70;
  o.block_size = 2;
  const auto drafting = load(o);
  ASSERT_NE(drafting, nullptr);
  for (int round = 0; round < 2; ++round) expect_same(run(*drafting, requests), expected);
  const EngineStats stats = drafting->stats();
  EXPECT_EQ(stats.accepted_tokens, stats.drafted_tokens);
  EXPECT_GT(stats.accepted_tokens, 100u);
  EXPECT_GT(stats.preemptions, 0u);
  EXPECT_GT(stats.prefix_hits, 0u);
  EXPECT_EQ(stats.draft_model.failures, 0u);
}

// Sampled, penalised, scored and stopped as the requests say, each with another way to guess.
TEST(EngineDemo, ADraftModelChangesNoTokenOnAnyInstructionSet) {
  for (const std::string& isa : isas()) {
    SCOPED_TRACE(isa);
    EngineOptions o;
    o.isa = isa;
    o.measure_guess_cost = false;
    o.max_model_len = 128;
    o.max_batched_tokens = 64;
    const auto plain = load(o);
    ASSERT_NE(plain, nullptr);
    std::vector<Request> requests = mixed_requests(*plain->tokenizer());
    const std::vector<Heard> expected = run(*plain, requests);
    o.draft_model = model_path();
    o.kv_blocks = 70;
    o.block_size = 2;
    const auto drafting = load(o);
    ASSERT_NE(drafting, nullptr);
    const SpeculationMode modes[] = {SpeculationMode::kDraft, SpeculationMode::kBoth, SpeculationMode::kNgram,
                                     SpeculationMode::kOff};
    for (size_t i = 0; i < requests.size(); ++i) requests[i].speculation = {modes[i % 4], 6, 1, 4};
    expect_same(run(*drafting, requests), expected);
    const EngineStats stats = drafting->stats();
    EXPECT_GT(stats.guesses[static_cast<size_t>(GuessSource::kDraft)].accepted_tokens, 10u);
    EXPECT_LT(stats.accepted_tokens, stats.drafted_tokens);
    EXPECT_GT(stats.preemptions, 0u);
  }
}

TEST(EngineDemo, TextThatRepeatsItselfTakesLessThanHalfAStepPerToken) {
  EngineOptions o;
  o.measure_guess_cost = false;
  o.max_model_len = 512;
  const auto engine = load(o);
  ASSERT_NE(engine, nullptr);
  Request r;
  std::string text;
  for (int i = 0; i < 4; ++i) text += "user\nWhat is the sum of 10 and 10?\nassistant\n10 plus 10 is 20.\n";
  r.prompt = *engine->tokenizer()->encode(text, {});
  r.continues_text = true;
  r.stop.max_tokens = 200;
  r.stop.ignore_eos = true;
  r.sampling.temperature = 0;
  const Heard expected = run(*engine, {r}).front();
  const uint64_t before = engine->stats().steps;
  r.speculation = SpeculationParams{SpeculationMode::kNgram};
  const Heard heard = run(*engine, {r}).front();
  EXPECT_EQ(heard.tokens, expected.tokens);
  const double steps_per_token = static_cast<double>(engine->stats().steps - before) / 200;
  EXPECT_LT(steps_per_token, 0.5) << heard.text;
  RecordProperty("steps_per_token", std::to_string(steps_per_token));
}

// What a request computes after a prefix that another left in the cache is, to the bit, what it computes by itself.
TEST(EngineDemo, ASharedPrefixIsComputedOnceAndChangesNoBit) {
  for (const DType kv : {DType::kF16, DType::kBF16, DType::kF32, DType::kI8}) {
    SCOPED_TRACE(to_string(kv));
    EngineOptions o;
    o.max_model_len = 512;
    o.kv_dtype = kv;
    const auto engine = load(o);
    o.prefix_cache = false;
    const auto plain = load(o);
    ASSERT_TRUE(engine != nullptr && plain != nullptr);
    std::string text;
    for (int i = 0; i < 10; ++i) text += "The little dog ran to the river and saw number " + std::to_string(i) + ". ";
    std::vector<Request> requests(3);
    const char* const ends[] = {"Then it", "Question: What is Ferrum?\nAnswer:", "Then"};
    for (size_t i = 0; i < requests.size(); ++i) {
      requests[i].prompt = *engine->tokenizer()->encode(text + ends[i], {});
      requests[i].stop.max_tokens = 30;
      requests[i].stop.ignore_eos = true;
      requests[i].sampling.temperature = i == 0 ? 0.0f : 1.0f;
      requests[i].sampling.seed = 7;
      requests[i].sampling.logprobs = 2;
    }
    const auto shared = static_cast<int>(engine->tokenizer()->encode(text, {})->size());
    for (size_t i = 0; i < requests.size(); ++i) {
      const std::vector<Heard> heard = run(*engine, {requests[i]});
      expect_same(heard, run(*plain, {requests[i]}));
      EXPECT_GT(heard[0].last.usage.cached_tokens, i == 0 ? -1 : shared - 18);
    }
    EXPECT_EQ(engine->stats().prefix_hits, 2u);
    EXPECT_EQ(plain->stats().prefix_hits, 0u);
  }
}

TEST(EngineDemo, GreedyTextIsEqualOnEveryInstructionSetAndTheReference) {
  std::vector<EngineOptions> devices(1);
  devices[0].backend = "reference";
  for (const std::string& isa : isas()) devices.emplace_back().isa = isa;
  std::vector<std::string> texts;
  for (EngineOptions& o : devices) {
    o.max_model_len = 256;
    const auto engine = load(o);
    ASSERT_NE(engine, nullptr);
    Request r;
    r.prompt = *engine->tokenizer()->encode("Once upon a time there was a", {});
    r.stop.max_tokens = 60;
    r.sampling.temperature = 0;
    texts.push_back(run(*engine, {r}).front().text);
    EXPECT_EQ(texts.back(), texts.front()) << engine->describe();
  }
  EXPECT_GT(texts.front().size(), 40u);
}

TEST(EngineDemo, OptionsAreResolvedAndProgressReported) {
  EngineOptions o;
  o.max_seqs = 3;
  double last = -1;
  auto engine = Engine::load(model_path(), o, [&](double fraction, const std::string& what) {
    EXPECT_GE(fraction, last);
    EXPECT_FALSE(what.empty());
    last = fraction;
  });
  ASSERT_TRUE(engine.is_ok()) << engine.status().message();
  EXPECT_EQ(last, 1.0);
  const EngineOptions& resolved = (*engine)->options();
  EXPECT_GT(resolved.threads, 0);
  EXPECT_EQ(resolved.max_model_len, (*engine)->model().max_context);
  EXPECT_EQ(resolved.kv_blocks, 3 * ((resolved.max_model_len + 15) / 16));
  EXPECT_NE((*engine)->describe().find("KV cache"), std::string::npos);
}

TEST(EngineDemo, RefusesOptionsAndFilesThatCannotWork) {
  const auto failure = [](const std::string& path, auto change) {
    EngineOptions o;
    change(o);
    const auto result = Engine::load(path, o);
    EXPECT_FALSE(result.is_ok());
    return result.is_ok() ? "" : result.status().message();
  };
  const auto expect = [&](const std::string& part, auto change) {
    const std::string message = failure(model_path(), change);
    EXPECT_NE(message.find(part), std::string::npos) << message;
  };
  EXPECT_NE(failure("/no/such.gguf", [](EngineOptions&) {}).find("/no/such.gguf"), std::string::npos);
  expect("max_seqs must be between 1 and", [](EngineOptions& o) { o.max_seqs = 0; });
  expect("max_batched_tokens must be", [](EngineOptions& o) { o.max_batched_tokens = -1; });
  expect("block_size must be", [](EngineOptions& o) { o.block_size = 0; });
  expect("kv_memory_fraction must be", [](EngineOptions& o) { o.kv_memory_fraction = std::nan(""); });
  expect("max_model_len is 1000000, but the model was trained for",
         [](EngineOptions& o) { o.max_model_len = 1000000; });
  expect("a context of 200 tokens needs 13 blocks", [](EngineOptions& o) {
    o.max_model_len = 200;
    o.kv_blocks = 12;
  });
  expect("does not fit into", [](EngineOptions& o) { o.kv_blocks = 100'000'000; });
  expect("tpu", [](EngineOptions& o) { o.backend = "tpu"; });
  expect("KV cache of Q4_0", [](EngineOptions& o) { o.kv_dtype = DType::kQ4_0; });
}

}  // namespace
}  // namespace ferrum
