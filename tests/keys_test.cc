// Every key changes what the engine does, or is refused. The engine is watched, not its record: what it accepts, how
// many steps it takes, which blocks it uses, what it computes.
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <thread>

#include "config/keys.h"
#include "engine/configure.h"
#include "engine/engine.h"
#include "tools/random_gguf/random_model.h"

namespace ferrum {
namespace {

using Keys = std::vector<std::pair<std::string, std::string>>;

class KeysTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    RandomModel model;
    model.context = 1 << 17;  // so that memory, not the model, bounds the KV cache
    path_ = new std::string(
        (std::filesystem::temp_directory_path() / ("keys_test_" + std::to_string(getpid()) + ".gguf")).string());
    ASSERT_TRUE(write_random_model(model, *path_).is_ok());
  }
  static void TearDownTestSuite() {
    std::filesystem::remove(*path_);
    delete path_;
    path_ = nullptr;
  }

  static Result<std::unique_ptr<Engine>> load(const Keys& keys) { return load(*path_, keys); }
  static Result<std::unique_ptr<Engine>> load(const std::string& path, const Keys& keys) {
    Settings settings;
    for (const auto& [key, value] : keys) {
      FERRUM_RETURN_IF_ERROR(settings.set(key, value, Source::kEnvironment));
    }
    FERRUM_ASSIGN_OR_RETURN(const Configuration c, configure(path, settings, RunKind::kServing));
    return Engine::load(path, engine_options(c.run));
  }
  // With little memory, so that a test is quick, unless the key under test says otherwise.
  static std::unique_ptr<Engine> small(Keys keys = {}) {
    const auto has = [&](const char* name) {
      return std::any_of(keys.begin(), keys.end(), [&](const auto& k) { return k.first == name; });
    };
    if (!has("FERRUM_THREADS")) keys.emplace_back("FERRUM_THREADS", "1");
    if (!has("FERRUM_KV_MAX_BLOCKS")) keys.emplace_back("FERRUM_KV_MAX_BLOCKS", "64");
    auto engine = load(keys);
    if (!engine.is_ok()) {
      ADD_FAILURE() << engine.status().message();
      return nullptr;
    }
    return std::move(*engine);
  }

  static Request prompt(int tokens, int answer = 4) {
    Request request;
    for (int i = 0; i < tokens; ++i) request.prompt.push_back(static_cast<TokenId>(3 + (i * 31) % 200));
    request.sampling.temperature = 0;
    request.stop.max_tokens = answer;
    request.stop.ignore_eos = true;
    return request;
  }
  static Status submit(Engine& engine, Request request) {
    return engine.submit(std::move(request), [](const Event&) {}).status();
  }
  static int steps_until_idle(Engine& engine) {
    int steps = 0;
    while (*engine.step()) ++steps;
    return steps;
  }
  // Prompt tokens that the next step reads.
  static int64_t prompt_tokens_of_step(Engine& engine) {
    const auto before = engine.stats().prompt_tokens;
    EXPECT_TRUE(engine.step().is_ok());
    return static_cast<int64_t>(engine.stats().prompt_tokens - before);
  }
  static std::vector<float> logprobs(Engine& engine) {
    Request request = prompt(40);
    request.prompt_logprobs = true;
    request.sampling.logprobs = 0;
    std::vector<float> found;
    const auto id = engine.submit(std::move(request), [&found](const Event& e) {
      for (const PositionLogprobs& p : e.prompt_logprobs) found.push_back(p.chosen.logprob);
    });
    EXPECT_TRUE(id.is_ok());
    steps_until_idle(engine);
    return found;
  }

  static std::string* path_;
};
std::string* KeysTest::path_ = nullptr;

TEST_F(KeysTest, BackendInstructionSetAndThreadsAreThoseAskedFor) {
  EXPECT_NE(small({{"FERRUM_BACKEND", "reference"}})->describe().find("reference"), std::string::npos);
  EXPECT_NE(small({{"FERRUM_CPU_ISA", "baseline"}})->describe().find("cpu (baseline, 1 thread"), std::string::npos);
  EXPECT_NE(small({{"FERRUM_THREADS", "3"}})->describe().find("3 threads"), std::string::npos);
}

TEST_F(KeysTest, ParityGateLooksAtEachKernelUnlessSwitchedOff) {
  EXPECT_GE(small()->kernel_choices().size(), 8u);
  EXPECT_TRUE(small({{"FERRUM_PARITY_GATE", "false"}})->kernel_choices().empty());
}

TEST_F(KeysTest, WeightsInPlaceAreAddedInAnotherOrder) {
  const auto packed = logprobs(*small());
  EXPECT_EQ(packed, logprobs(*small({{"FERRUM_MMAP_ONLY", "false"}})));
  const auto in_place = logprobs(*small({{"FERRUM_MMAP_ONLY", "true"}}));
  EXPECT_NE(packed, in_place);
  ASSERT_EQ(packed.size(), in_place.size());
  // Another rounding may take an activation to the next of its 127 steps, here and there.
  for (size_t i = 0; i < packed.size(); ++i) EXPECT_NEAR(packed[i], in_place[i], 0.1) << i;
  EXPECT_EQ(load({{"FERRUM_MMAP_ONLY", "true"}, {"FERRUM_BACKEND", "reference"}}).status().code(),
            StatusCode::kInvalidArgument);
}

TEST_F(KeysTest, ContextAndCapacityBoundAPrompt) {
  for (const char* key : {"FERRUM_MAX_MODEL_LEN", "FERRUM_KV_CAPACITY"}) {
    const auto engine = small({{key, "64"}});
    EXPECT_EQ(submit(*engine, prompt(65)).code(), StatusCode::kInvalidArgument) << key;
    EXPECT_TRUE(submit(*engine, prompt(60)).is_ok()) << key;
    EXPECT_TRUE(submit(*small(), prompt(65)).is_ok());
  }
}

TEST_F(KeysTest, Bf16ProductsAreRoundedWhereTheProcessorHasAnInstructionForThem) {
  RandomModel model;
  model.type = "BF16";
  const std::string path = *path_ + ".bf16";
  ASSERT_TRUE(write_random_model(model, path).is_ok());
  const auto of = [&](const Keys& more) {
    Keys keys = {{"FERRUM_THREADS", "1"}, {"FERRUM_KV_MAX_BLOCKS", "64"}};
    keys.insert(keys.end(), more.begin(), more.end());
    return load(path, keys);
  };
  const auto exact = logprobs(**of({{"FERRUM_BF16_PRODUCTS", "exact"}}));
  const auto by_default = logprobs(**of({}));
  const auto rounded = of({{"FERRUM_BF16_PRODUCTS", "rounded"}});
  if (rounded.is_ok()) {
    EXPECT_EQ(by_default, logprobs(**rounded));
    EXPECT_NE(by_default, exact);
    for (size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(exact[i], by_default[i], 0.1) << i;
  } else {
    EXPECT_EQ(rounded.status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(by_default, exact);
  }
  EXPECT_EQ(logprobs(**of({{"FERRUM_CPU_ISA", "baseline"}})), exact);
  for (const auto& [key, value] : Keys{{"FERRUM_CPU_ISA", "baseline"}, {"FERRUM_BACKEND", "reference"}}) {
    const auto refused = of({{"FERRUM_BF16_PRODUCTS", "rounded"}, {key, value}});
    EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument) << key;
  }
  std::filesystem::remove(path);
}

TEST_F(KeysTest, KvTypeChangesWhatIsComputed) {
  const auto half = logprobs(*small({{"FERRUM_KV_DTYPE", "fp16"}}));
  EXPECT_EQ(half.size(), 39u);
  EXPECT_EQ(half, logprobs(*small()));
  EXPECT_NE(half, logprobs(*small({{"FERRUM_KV_DTYPE", "fp32"}})));
  EXPECT_NE(half, logprobs(*small({{"FERRUM_KV_DTYPE", "bf16"}})));
  EXPECT_NE(half, logprobs(*small({{"FERRUM_KV_DTYPE", "int8"}})));
}

TEST_F(KeysTest, BlocksAndTheirSizeAreWhatTheCacheHas) {
  const auto few = small({{"FERRUM_KV_MAX_BLOCKS", "32"}, {"FERRUM_MAX_BATCHED_TOKENS", "64"}});
  EXPECT_EQ(few->stats().kv_blocks_total, 32);
  const auto large = small({{"FERRUM_BLOCK_SIZE", "32"}});
  ASSERT_TRUE(submit(*large, prompt(33)).is_ok());
  ASSERT_TRUE(large->step().is_ok());
  EXPECT_EQ(large->stats().kv_blocks_used, 2);
  const auto usual = small();
  ASSERT_TRUE(submit(*usual, prompt(33)).is_ok());
  ASSERT_TRUE(usual->step().is_ok());
  EXPECT_EQ(usual->stats().kv_blocks_used, 3);
}

// The order in which three requests of two tenants finish, of which the second has the least urgent priority, and the
// last comes `late` after the others. A fourth one runs while they arrive.
std::vector<int> order_of_service(Engine& engine, Request request, std::chrono::milliseconds late = {}) {
  std::vector<int> order;
  const auto submit = [&](int name, int priority, const char* tenant) {
    request.priority = priority;
    request.tenant = tenant;
    EXPECT_TRUE(engine
                    .submit(request,
                            [&order, name](const Event& e) {
                              if (e.finished) order.push_back(name);
                            })
                    .is_ok());
  };
  const bool ranks = engine.options().queue_policy != QueuePolicy::kFcfs;
  submit(0, 0, "a");
  EXPECT_TRUE(engine.step().is_ok());
  submit(1, ranks ? 1 : 0, "a");
  submit(2, 0, "a");
  std::this_thread::sleep_for(late);
  submit(3, 0, "b");
  while (*engine.step()) {
  }
  return order;
}

TEST_F(KeysTest, PolicyAndAgeingOrderWhatWaits) {
  const auto order = [](Keys keys, std::chrono::milliseconds late = {}) {
    keys.emplace_back("FERRUM_PAGED_MAX_SEQS", "1");
    return order_of_service(*small(keys), prompt(4), late);
  };
  EXPECT_EQ(order({}), (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(order({{"FERRUM_SCHED_POLICY", "priority"}}), (std::vector<int>{0, 2, 3, 1}));
  EXPECT_EQ(order({{"FERRUM_SCHED_POLICY", "fair"}}), (std::vector<int>{0, 3, 2, 1}));
  EXPECT_EQ(order({{"FERRUM_SCHED_POLICY", "priority"}, {"FERRUM_SCHED_AGEING_SECONDS", "1"}},
                  std::chrono::milliseconds(1050)),
            (std::vector<int>{0, 2, 1, 3}));
}

TEST_F(KeysTest, PrefixCacheSavesComputingUnlessSwitchedOff) {
  for (const bool on : {true, false}) {
    const auto engine = on ? small() : small({{"FERRUM_PREFIX_CACHE", "false"}});
    ASSERT_TRUE(submit(*engine, prompt(40)).is_ok());
    steps_until_idle(*engine);
    ASSERT_TRUE(submit(*engine, prompt(40)).is_ok());
    EXPECT_EQ(prompt_tokens_of_step(*engine), on ? 8 : 40);
    steps_until_idle(*engine);
    EXPECT_EQ(engine->stats().prefix_hits, on ? 1u : 0u);
  }
}

TEST_F(KeysTest, SwapSpaceKeepsWhatTheCacheGivesUp) {
  for (const bool on : {false, true}) {
    const auto engine = small({{"FERRUM_KV_MAX_BLOCKS", "8"},
                               {"FERRUM_MAX_BATCHED_TOKENS", "128"},
                               {"FERRUM_PAGED_MAX_SEQS", "4"},
                               {"FERRUM_SWAP_SPACE", on ? "4" : "0"}});
    for (const int tokens : {40, 120, 40}) {  // the second one is another text, and needs the whole cache
      Request request = prompt(tokens);
      if (tokens == 120) ++request.prompt.front();
      ASSERT_TRUE(submit(*engine, std::move(request)).is_ok());
      steps_until_idle(*engine);
    }
    EXPECT_EQ(engine->stats().swapped_in > 0, on);
    EXPECT_EQ(engine->stats().swap_blocks_total > 0, on);
  }
}

TEST_F(KeysTest, MemoryFractionSizesTheCache) {
  const auto little = load({{"FERRUM_KV_MEMORY_FRACTION", "0.001"}});
  const auto more = load({{"FERRUM_KV_MEMORY_FRACTION", "0.002"}});
  ASSERT_TRUE(little.is_ok() && more.is_ok()) << little.status().message();
  const auto blocks = (*little)->stats().kv_blocks_total;
  EXPECT_GT((*more)->stats().kv_blocks_total, blocks + blocks / 2);
}

TEST_F(KeysTest, SequencesAndQueueAreBounded) {
  const auto engine = small({{"FERRUM_PAGED_MAX_SEQS", "2"}, {"FERRUM_MAX_WAITING", "1"}});
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(submit(*engine, prompt(4)).is_ok()) << i;
  ASSERT_TRUE(engine->step().is_ok());
  ASSERT_TRUE(submit(*engine, prompt(4)).is_ok());
  ASSERT_TRUE(engine->step().is_ok());
  EXPECT_EQ(engine->stats().running, 2);
  EXPECT_EQ(engine->stats().waiting, 1);
  EXPECT_EQ(submit(*engine, prompt(4)).code(), StatusCode::kCapacity);
}

TEST_F(KeysTest, BatchedTokensBoundAStep) {
  const auto engine = small({{"FERRUM_MAX_BATCHED_TOKENS", "32"}, {"FERRUM_PAGED_MAX_SEQS", "4"}});
  ASSERT_TRUE(submit(*engine, prompt(80)).is_ok());
  EXPECT_EQ(prompt_tokens_of_step(*engine), 32);
  EXPECT_EQ(prompt_tokens_of_step(*engine), 32);
  EXPECT_EQ(prompt_tokens_of_step(*engine), 16);
}

// One sequence decodes, and another arrives with a prompt of 40 tokens; the step has 16 places.
class PolicyTest : public KeysTest {
 protected:
  static int64_t read_beside_decode(Keys keys, bool& decoded) {
    keys.emplace_back("FERRUM_MAX_BATCHED_TOKENS", "32");
    keys.emplace_back("FERRUM_PAGED_MAX_SEQS", "4");
    const auto engine = small(keys);
    EXPECT_TRUE(submit(*engine, prompt(4, 20)).is_ok());
    EXPECT_TRUE(submit(*engine, prompt(5, 20)).is_ok());
    EXPECT_TRUE(engine->step().is_ok());
    EXPECT_TRUE(submit(*engine, prompt(32, 20)).is_ok());
    const auto before = engine->stats().generated_tokens;
    const int64_t read = prompt_tokens_of_step(*engine);
    decoded = engine->stats().generated_tokens - before == 2;
    return read;
  }
};

TEST_F(PolicyTest, AdmissionKeysDecideWhatAStepReads) {
  bool decoded = false;
  EXPECT_EQ(read_beside_decode({}, decoded), 30);
  EXPECT_TRUE(decoded);
  EXPECT_EQ(read_beside_decode({{"FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "7"}}, decoded), 7);
  EXPECT_TRUE(decoded);
  EXPECT_EQ(read_beside_decode({{"FERRUM_SCHED_PREFILL_FIRST_UNTIL_ACTIVE", "3"}}, decoded), 31);
  EXPECT_FALSE(decoded);  // only the oldest
  EXPECT_EQ(read_beside_decode({{"FERRUM_SCHED_PROMPT_TOKEN_ESTIMATE", "true"}}, decoded), 0);
  EXPECT_TRUE(decoded);
}

// What speculation did for an answer to a prompt that repeats itself.
class SpeculationKeysTest : public KeysTest {
 protected:
  static EngineStats after(Keys keys) {
    keys.emplace_back("FERRUM_SPECULATION", "ngram");
    keys.emplace_back("FERRUM_SPECULATION_COST", "usual");
    const auto engine = small(keys);
    Request request = prompt(40, 60);
    for (size_t i = 0; i < request.prompt.size(); ++i) request.prompt[i] = static_cast<TokenId>(3 + i % 4);
    EXPECT_TRUE(submit(*engine, std::move(request)).is_ok());
    steps_until_idle(*engine);
    return engine->stats();
  }
};

TEST_F(SpeculationKeysTest, DecideWhetherAndHowFarIsGuessed) {
  const auto off = small();
  EXPECT_TRUE(submit(*off, prompt(40, 60)).is_ok());
  steps_until_idle(*off);
  EXPECT_EQ(off->stats().drafts, 0u);

  const EngineStats plain = after({});
  EXPECT_GT(plain.drafted_tokens, plain.drafts);
  const EngineStats one = after({{"FERRUM_SPECULATION_MAX_DRAFT", "1"}});
  EXPECT_GT(one.drafts, 0u);
  EXPECT_EQ(one.drafted_tokens, one.drafts);
  // Short suffixes have occurred before more often than long ones, and are wrong more often.
  EXPECT_LT(after({{"FERRUM_SPECULATION_NGRAM_MIN", "8"}}).drafted_tokens, plain.drafted_tokens);
  EXPECT_GT(after({{"FERRUM_SPECULATION_NGRAM_MAX", "1"}}).drafts, plain.drafts);
}

TEST_F(SpeculationKeysTest, ADraftModelOfTheSameVocabularyGuessesAndAnotherIsRefused) {
  RandomModel other;
  other.vocab = 600;
  const std::string path = *path_ + ".draft";
  const auto tokens_after = [](const Keys& keys, EngineStats& stats) {
    const auto engine = small(keys);
    std::vector<TokenId> tokens;
    EXPECT_TRUE(
        engine->submit(prompt(40, 60), [&](Event e) { tokens.insert(tokens.end(), e.tokens.begin(), e.tokens.end()); })
            .is_ok());
    steps_until_idle(*engine);
    stats = engine->stats();
    return tokens;
  };
  EngineStats plain, itself, less;
  const std::vector<TokenId> expected = tokens_after({}, plain);
  const Keys by_itself = {
      {"FERRUM_DRAFT_MODEL", *path_}, {"FERRUM_SPECULATION", "draft"}, {"FERRUM_SPECULATION_COST", "usual"}};
  EXPECT_EQ(tokens_after(by_itself, itself), expected);
  EXPECT_EQ(itself.accepted_tokens, itself.drafted_tokens);
  EXPECT_LT(itself.steps, plain.steps / 2);

  RandomModel smaller;
  smaller.layers = 1;
  smaller.seed = 5;
  ASSERT_TRUE(write_random_model(smaller, path).is_ok());
  EXPECT_EQ(tokens_after({{"FERRUM_DRAFT_MODEL", path}}, less), expected);
  EXPECT_GT(less.drafted_tokens, 0u);
  EXPECT_EQ(less.draft_model.failures, 0u);

  ASSERT_TRUE(write_random_model(other, path).is_ok());
  const auto refused = load({{"FERRUM_DRAFT_MODEL", path}});
  std::filesystem::remove(path);
  ASSERT_FALSE(refused.is_ok());
  EXPECT_NE(refused.status().message().find("FERRUM_DRAFT_MODEL: invalid override: token"), std::string::npos)
      << refused.status().message();
}

bool is_of_a_missing_part(const KeySpec& key) {
  const bool here = key.part == Part::kCore || key.part == Part::kProfiler || key.part == Part::kMoe;
  return !here || key.toml.starts_with("kernels.");
}

// Each key times its kind of step, and changes nothing about what is computed.
TEST_F(KeysTest, ProfilesTimeTheStepsTheyAreFor) {
  const auto usual = logprobs(*small());
  struct Case {
    const char* key;
    std::string title, row;
    uint64_t steps;
  };
  // A prompt of 40 tokens in steps of 32 and 8, the second of which gives the first token of 4.
  const Case cases[] = {{"FERRUM_PREFILL_OP_PROFILE", "prefill operations", "attention", 2},
                        {"FERRUM_DECODE_OP_PROFILE", "decode operations", "linear ffn_down", 3},
                        {"FERRUM_DECODE_LAYER_PROFILE", "decode layers", "layer 0", 3}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.key);
    EXPECT_EQ(usual, logprobs(*small({{c.key, "true"}})));
    const auto engine = small({{c.key, "true"}, {"FERRUM_MAX_BATCHED_TOKENS", "32"}, {"FERRUM_PAGED_MAX_SEQS", "4"}});
    ASSERT_TRUE(submit(*engine, prompt(40)).is_ok());
    EXPECT_EQ(steps_until_idle(*engine), 5);
    const auto tables = engine->recorder()->profile()->tables();
    ASSERT_EQ(tables.size(), 1u);
    EXPECT_EQ(tables[0].title, c.title);
    EXPECT_EQ(tables[0].steps, c.steps);
    const auto row = std::find_if(tables[0].rows.begin(), tables[0].rows.end(),
                                  [&](const OpTotal& total) { return total.name == c.row; });
    ASSERT_NE(row, tables[0].rows.end()) << render(tables);
    EXPECT_GT(row->nanoseconds, 0);
  }
  EXPECT_EQ(small()->recorder()->profile(), nullptr);
}

// A part of the experts in memory: the same to the bit, and what is read is counted.
TEST_F(KeysTest, ExpertCacheKeepsAPartOfTheExperts) {
  const std::string dense = *path_, moe = dense + ".many";
  RandomModel model = random_model_shape("tiny-moe").value();
  model.experts = 32;
  model.ffn = 256;
  ASSERT_TRUE(write_random_model(model, moe).is_ok());
  *path_ = moe;
  const auto whole = small(), part = small({{"FERRUM_EXPERT_CACHE", "4"}});
  EXPECT_EQ(logprobs(*part), logprobs(*whole));
  EXPECT_EQ(whole->stats().expert_cache.slots, 0);
  const ExpertCacheCounts counts = part->stats().expert_cache;
  const int64_t expert = 3 * model.hidden * 256 / 32 * 34;  // bytes, Q8_0
  EXPECT_EQ(counts.slots, model.layers * ((4 << 20) / (model.layers * expert)));
  EXPECT_GT(counts.misses, 0);
  EXPECT_EQ(counts.bytes_read, counts.misses * expert);
  const auto refused = load({{"FERRUM_EXPERT_CACHE", "4"}, {"FERRUM_MMAP_ONLY", "true"}});
  EXPECT_NE(refused.status().message().find("FERRUM_EXPERT_CACHE"), std::string::npos);
  std::filesystem::remove(moe);
  *path_ = dense;
}

// Keys of experts, on a model that has some.
TEST_F(KeysTest, OfExpertsDecideHowTheyAreComputedAndTimed) {
  const std::string dense = *path_, moe = dense + ".moe";
  ASSERT_TRUE(write_random_model(random_model_shape("tiny-moe").value(), moe).is_ok());
  *path_ = moe;
  const auto threshold = [](Keys keys) { return small(std::move(keys))->options().expert_batch_threshold; };
  EXPECT_EQ(threshold({}), 4);
  EXPECT_EQ(threshold({{"FERRUM_MOE_BATCH_THRESHOLD", "9"}}), 9);
  EXPECT_EQ(threshold({{"FERRUM_MOE_BATCHED", "false"}}), std::numeric_limits<int>::max());
  EXPECT_EQ(logprobs(*small()), logprobs(*small({{"FERRUM_MOE_BATCHED", "false"}})));
  EXPECT_TRUE(small({{"FERRUM_MOE_LOAD_TRACE", "true"}})->options().expert_load_trace);
  const auto engine = small({{"FERRUM_MOE_PROFILE", "true"}});
  ASSERT_TRUE(submit(*engine, prompt(40)).is_ok());
  steps_until_idle(*engine);
  const std::string tables = render(engine->recorder()->profile()->tables());
  for (const char* phase :
       {"route", "experts plan", "experts gather", "experts gate+up", "experts silu", "experts down"}) {
    EXPECT_NE(tables.find(phase), std::string::npos) << tables;
  }
  EXPECT_EQ(engine->stats().experts.size(), 2u);
  std::filesystem::remove(moe);
  *path_ = dense;
  EXPECT_FALSE(load({{"FERRUM_MOE_BATCH_THRESHOLD", "9"}}).is_ok());
}

// A key that nothing here can obey is refused by name; one that says what happens anyway is not.
TEST_F(KeysTest, WhatThisBuildCannotDoIsRefused) {
  int refused = 0;
  for (const KeySpec& key : all_keys()) {
    if (!is_of_a_missing_part(key)) continue;
    std::string value = "1";
    if (key.type == KeyType::kBool) value = key.part == Part::kContiguousKv ? "false" : "true";
    if (key.type == KeyType::kInt) value = std::to_string(static_cast<int64_t>(std::max(key.low, 8.0)));
    if (key.type == KeyType::kText) value = "x";
    if (key.type == KeyType::kChoice) value = key.choices.back();
    const auto engine = load({{std::string(key.name), value}});
    EXPECT_FALSE(engine.is_ok()) << key.name;
    EXPECT_NE(engine.status().message().find(key.name), std::string::npos) << engine.status().message();
    ++refused;
  }
  EXPECT_GE(refused, 30);
  EXPECT_EQ(load({{"FERRUM_DTYPE", "fp16"}}).status().code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(load({{"FERRUM_DTYPE", "fp32"}, {"FERRUM_KV_MAX_BLOCKS", "64"}}).is_ok());
}

// No key is forgotten: what is neither refused above nor tested here is named with the test that watches it.
TEST_F(KeysTest, EveryKeyHasATest) {
  const std::set<std::string_view> tested = {"FERRUM_BACKEND",
                                             "FERRUM_CPU_ISA",
                                             "FERRUM_THREADS",
                                             "FERRUM_MMAP_ONLY",
                                             "FERRUM_BF16_PRODUCTS",
                                             "FERRUM_DTYPE",
                                             "FERRUM_PARITY_GATE",
                                             "FERRUM_MAX_MODEL_LEN",
                                             "FERRUM_KV_CAPACITY",
                                             "FERRUM_KV_DTYPE",
                                             "FERRUM_KV_MAX_BLOCKS",
                                             "FERRUM_BLOCK_SIZE",
                                             "FERRUM_SWAP_SPACE",
                                             "FERRUM_PREFIX_CACHE",
                                             "FERRUM_KV_MEMORY_FRACTION",
                                             "FERRUM_PAGED_MAX_SEQS",
                                             "FERRUM_MAX_WAITING",
                                             "FERRUM_SCHED_POLICY",
                                             "FERRUM_SCHED_AGEING_SECONDS",
                                             "FERRUM_MAX_BATCHED_TOKENS",
                                             "FERRUM_ACTIVE_DECODE_PREFILL_CHUNK",
                                             "FERRUM_SCHED_PREFILL_FIRST_UNTIL_ACTIVE",
                                             "FERRUM_SCHED_PROMPT_TOKEN_ESTIMATE",
                                             "FERRUM_SPECULATION",
                                             "FERRUM_DRAFT_MODEL",
                                             "FERRUM_SPECULATION_COST",
                                             "FERRUM_SPECULATION_MAX_DRAFT",
                                             "FERRUM_SPECULATION_NGRAM_MIN",
                                             "FERRUM_SPECULATION_NGRAM_MAX",
                                             "FERRUM_DECODE_OP_PROFILE",
                                             "FERRUM_PREFILL_OP_PROFILE",
                                             "FERRUM_DECODE_LAYER_PROFILE",
                                             "FERRUM_EXPERT_CACHE",
                                             "FERRUM_MOE_BATCHED",
                                             "FERRUM_MOE_BATCH_THRESHOLD",
                                             "FERRUM_MOE_PROFILE",
                                             "FERRUM_MOE_LOAD_TRACE"};
  const std::set<std::string_view> elsewhere = {
      "FERRUM_LOG_LEVEL",  // tests/api/test_configuration.py: what appears on standard error
      // tests/api/test_settings.py, service_test, access_test, http_server_test: how the server answers
      "FERRUM_HOST", "FERRUM_PORT", "FERRUM_API_KEY", "FERRUM_SERVED_MODEL_NAME", "FERRUM_CORS_ORIGIN",
      "FERRUM_ALLOWED_HOST", "FERRUM_DRAIN_SECONDS", "FERRUM_MAX_CONNECTIONS", "FERRUM_REQUEST_TIMEOUT",
      "FERRUM_QUEUE_TIMEOUT", "FERRUM_WARM_UP", "FERRUM_ENABLE_PROMPT_EMBEDS"};
  for (const KeySpec& key : all_keys()) {
    const bool refused = is_of_a_missing_part(key);
    EXPECT_EQ(int{refused} + static_cast<int>(tested.count(key.name) + elsewhere.count(key.name)), 1) << key.name;
  }
}

}  // namespace
}  // namespace ferrum
