// KV out of one engine's cache and into another's, over the fake model: whatever is wrong with it gives other tokens.
#include <gtest/gtest.h>

#include <numeric>

#include "engine/workload_for_test.h"

namespace ferrum {
namespace {

constexpr int kBlockSize = 4;

CoreOptions options(int num_blocks = 40) {
  CoreOptions o;
  o.block_size = kBlockSize;
  o.requests = {kFakeVocab, 130};
  o.num_blocks = num_blocks;
  o.scheduler = {4, 64, 100, 100};
  o.prefix_cache = true;
  o.kv.block_size = kBlockSize;
  o.kv.block_bytes = static_cast<int64_t>(FakeRunner::kTokenBytes) * kBlockSize;
  return o;
}

std::unique_ptr<EngineCore> make_core(const CoreOptions& o = options()) {
  return std::make_unique<EngineCore>(o, std::make_unique<FakeRunner>(o.num_blocks, o.block_size),
                                      std::make_shared<FakeTokenizer>());
}

Heard ask(EngineCore& core, std::vector<TokenId> prompt, const std::string& salt = "", int max_tokens = 20) {
  Request r;
  r.prompt = std::move(prompt);
  r.stop.max_tokens = max_tokens;
  r.stop.ignore_eos = true;
  r.cache_salt = salt;
  r.sampling.seed = 1;
  Heard heard;
  const auto id = core.submit(r, [&](Event e) { heard(std::move(e)); });
  EXPECT_TRUE(id.is_ok()) << id.status().message();
  while (*core.step()) {
  }
  EXPECT_EQ(core.violations(), std::vector<std::string>{});
  return heard;
}

std::vector<TokenId> text(int count, TokenId first = 3) {
  std::vector<TokenId> tokens(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) tokens[static_cast<size_t>(i)] = 3 + (first + 5 * i) % 30;
  return tokens;
}

// Prompt and answer, and what the user says next.
std::vector<TokenId> second_turn(std::vector<TokenId> prompt, const Heard& answer) {
  prompt.insert(prompt.end(), answer.tokens.begin(), answer.tokens.end());
  for (const TokenId t : {9, 8, 7}) prompt.push_back(t);
  return prompt;
}

TEST(KvTransfer, AConversationGoesOnInAnotherEngineWithoutBeingReadAgain) {
  for (const int window : {0, 2, 13}) {
    SCOPED_TRACE(window);
    CoreOptions o = options(16);
    o.window = window;
    const auto first = make_core(o);
    const Heard answer = ask(*first, text(30));
    if (window > 0) ask(*first, text(24, 1), "", 1);  // takes two blocks that nobody sees any more
    const std::vector<TokenId> next = second_turn(text(30), answer);
    const auto kv = first->export_kv(next, "");
    ASSERT_TRUE(kv.is_ok()) << kv.status().message();
    EXPECT_EQ(kv->tokens.size(), 48u) << "49 of the 50 tokens were computed";
    EXPECT_EQ(kv->missing > 0, window > 0);

    o.num_blocks = 40;
    const auto second = make_core(o);
    ASSERT_TRUE(second->import_kv(*kv, "").is_ok());
    EXPECT_EQ(second->stats().prefix_entries, 12 - kv->missing);
    EXPECT_EQ(second->stats().kv_blocks_used, 0);
    const Heard went_on = ask(*second, next);
    EXPECT_EQ(went_on.last.usage.cached_tokens, 48);
    EXPECT_EQ(went_on.tokens, ask(*make_core(o), next).tokens);
  }
}

TEST(KvTransfer, KvIsFoundUnderItsSaltOnly) {
  const auto core = make_core();
  ask(*core, text(30), "mine");
  EXPECT_EQ(core->export_kv(text(30), "").status().code(), StatusCode::kNotFound);
  const auto kv = core->export_kv(text(30), "mine");
  ASSERT_TRUE(kv.is_ok());
  const auto other = make_core();
  ASSERT_TRUE(other->import_kv(*kv, "yours").is_ok());
  EXPECT_EQ(ask(*other, text(30), "mine").last.usage.cached_tokens, 0);
  EXPECT_EQ(ask(*other, text(30), "yours").last.usage.cached_tokens, 28);
}

TEST(KvTransfer, WhatIsThereAlreadyIsLeftAlone) {
  const auto first = make_core();
  const Heard expected = ask(*first, text(30));
  const auto kv = first->export_kv(text(30), "");
  ASSERT_TRUE(kv.is_ok());
  const auto second = make_core();
  ask(*second, text(14));  // of which three blocks are the same
  const int64_t entries = second->stats().prefix_entries;
  ASSERT_TRUE(second->import_kv(*kv, "").is_ok());
  ASSERT_TRUE(second->import_kv(*kv, "").is_ok());
  EXPECT_EQ(second->stats().prefix_entries, entries + 4);
  EXPECT_EQ(ask(*second, text(30)).tokens, expected.tokens);
}

TEST(KvTransfer, APoolThatIsFullOfOthersMakesRoomAndOneInUseRefuses) {
  const auto first = make_core();
  const Heard expected = ask(*first, text(60));
  const auto kv = first->export_kv(text(60), "");
  ASSERT_TRUE(kv.is_ok());
  const auto second = make_core(options(33));
  ask(*second, text(100, 1));
  ASSERT_TRUE(second->import_kv(*kv, "").is_ok());
  EXPECT_GT(second->stats().prefix_evictions, 0u);
  const Heard heard = ask(*second, text(60));
  EXPECT_EQ(heard.tokens, expected.tokens);
  EXPECT_EQ(heard.last.usage.cached_tokens, 56);

  const auto busy = make_core(options(33));
  Request r;
  r.prompt = text(100, 1);
  r.stop.max_tokens = 20;
  r.stop.ignore_eos = true;
  r.sampling.seed = 1;
  Heard other;
  ASSERT_TRUE(busy->submit(r, [&](Event e) { other(std::move(e)); }).is_ok());
  ASSERT_TRUE(*busy->step() && *busy->step());
  EXPECT_EQ(busy->import_kv(*kv, "").code(), StatusCode::kCapacity);
  EXPECT_EQ(busy->violations(), std::vector<std::string>{});
  while (*busy->step()) {
  }
  EXPECT_EQ(other.tokens, ask(*make_core(), text(100, 1)).tokens);
  EXPECT_TRUE(busy->import_kv(*kv, "").is_ok());
}

TEST(KvTransfer, WithoutPrefixCacheItIsRefused) {
  CoreOptions o = options();
  o.prefix_cache = false;
  const auto core = make_core(o);
  EXPECT_EQ(core->export_kv(text(30), "").status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(core->import_kv({text(4), 0, {}}, "").code(), StatusCode::kUnsupported);
}

// Each copy in turn: the error is the caller's, and no block that was not filled is ever found.
TEST(KvTransfer, ACopyThatFailsIsAnErrorAndLeavesNothingToBeFound) {
  const CoreOptions o = options();
  auto failing = std::make_unique<FakeRunner>(o.num_blocks, o.block_size);
  FakeRunner& runner = *failing;
  EngineCore core(o, std::move(failing), std::make_shared<FakeTokenizer>());
  const Heard expected = ask(core, text(30));
  for (int copies = 0; copies < 7; ++copies) {  // seven full blocks of the prompt
    runner.copies_until_failure = copies;
    const auto failed = core.export_kv(text(30), "");
    EXPECT_EQ(failed.status().code(), StatusCode::kInternal);
    EXPECT_NE(failed.status().message().find("copies no more"), std::string::npos) << failed.status().message();
  }
  const auto kv = core.export_kv(text(30), "");
  ASSERT_TRUE(kv.is_ok()) << kv.status().message();
  for (int copies = 0; copies < 7; ++copies) {
    runner.copies_until_failure = copies;
    EXPECT_EQ(core.import_kv(*kv, "again").code(), StatusCode::kInternal);
    EXPECT_EQ(core.violations(), std::vector<std::string>{});
    const Heard heard = ask(core, text(30), "again");
    EXPECT_EQ(heard.last.usage.cached_tokens, 0);
    EXPECT_EQ(heard.tokens, expected.tokens);
    // So that the next import has blocks to fill.
    runner.copies_until_failure = 0;
    EXPECT_FALSE(core.import_kv(*kv, "other").is_ok());
    EXPECT_EQ(core.stats().prefix_entries, 0);
  }
  ASSERT_TRUE(core.import_kv(*kv, "again").is_ok());
  const Heard heard = ask(core, text(30), "again");
  EXPECT_EQ(heard.last.usage.cached_tokens, 28);
  EXPECT_EQ(heard.tokens, expected.tokens);
}

// While other requests run on the engine's thread: they are not changed, and what is saved is right.
TEST(KvTransfer, WorksWhileTheEngineRuns) {
  const auto core = make_core(options(200));
  core->start();
  Request r;
  r.stop.max_tokens = 30;
  r.stop.ignore_eos = true;
  r.sampling.seed = 1;
  std::vector<Heard> heard(8);
  for (int i = 0; i < 8; ++i) {
    r.prompt = text(30, static_cast<TokenId>(i));
    Heard& h = heard[static_cast<size_t>(i)];
    ASSERT_TRUE(core->submit(r, [&h](Event e) { h(std::move(e)); }).is_ok());
    (void)core->export_kv(r.prompt, "");
  }
  Result<SavedKv> kv = not_found("not yet");
  while (!kv.is_ok()) kv = core->export_kv(text(30, 2), "");
  ASSERT_TRUE(core->import_kv(*kv, "copy").is_ok());
  core->drain();
  const auto other = make_core();
  ASSERT_TRUE(other->import_kv(*kv, "").is_ok());
  EXPECT_EQ(ask(*other, text(30, 2), "", 30).tokens, heard[2].tokens);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(heard[static_cast<size_t>(i)].tokens,
              ask(*make_core(), text(30, static_cast<TokenId>(i)), "", 30).tokens);
  }
}

}  // namespace
}  // namespace ferrum
