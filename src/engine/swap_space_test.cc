#include "engine/swap_space.h"

#include <gtest/gtest.h>

#include "engine/workload_for_test.h"

namespace ferrum {
namespace {

TEST(SwapSpace, SwapsWhereTwoCopiesOfABlockTakeLessThanItsTokens) {
  const auto space = SwapSpace::create(1 << 20, 1000, 16);
  ASSERT_TRUE(space.is_ok());
  SwapSpace& s = **space;
  EXPECT_EQ(s.places(), 1048);
  EXPECT_TRUE(s.pays()) << "nothing tells against it";
  s.note_step(100, 100 * 1e-6);  // 16 us for a block; 1 us to copy it at the bandwidth that is assumed
  EXPECT_TRUE(s.pays());
  s.note_copies(10, 10 * 9e-6);
  EXPECT_FALSE(s.pays());
  s.note_copies(10, 10 * 7e-6);
  EXPECT_TRUE(s.pays());
  s.note_copies(10, 10 * 9e-6);  // the machine can do better, as was seen
  EXPECT_TRUE(s.pays());
  for (int i = 0; i < 30; ++i) s.note_step(100, 100 * 0.8e-6);
  EXPECT_FALSE(s.pays());
}

TEST(SwapSpace, LessThanABlockIsRefused) {
  EXPECT_EQ((*SwapSpace::create(1000, 1000, 16))->places(), 1);
  EXPECT_EQ(SwapSpace::create(999, 1000, 16).status().code(), StatusCode::kInvalidArgument);
}

CoreOptions options(int swap_blocks) {
  CoreOptions o;
  o.block_size = 4;
  o.requests = {kFakeVocab, 130};
  o.num_blocks = 40;
  o.scheduler = {8, 64, 100, 100};
  constexpr int64_t kBlockBytes = FakeRunner::kTokenBytes * 4;
  if (swap_blocks > 0) o.swap = *SwapSpace::create(swap_blocks * kBlockBytes, kBlockBytes, 4, SwapPolicy::kAlways);
  return o;
}

// Eight requests that need twice what the pool holds.
std::vector<Heard> run(EngineCore& core) {
  std::vector<Heard> heard(8);
  for (int i = 0; i < 8; ++i) {
    Request r;
    for (int t = 0; t < 12; ++t) r.prompt.push_back(3 + (5 * t + i) % 30);
    r.stop.max_tokens = 40;
    r.stop.ignore_eos = true;
    r.sampling.seed = static_cast<uint64_t>(i);
    Heard& h = heard[static_cast<size_t>(i)];
    EXPECT_TRUE(core.submit(r, [&h](Event e) { h(std::move(e)); }).is_ok());
  }
  while (*core.step()) EXPECT_EQ(core.violations(), std::vector<std::string>{});
  return heard;
}

std::unique_ptr<EngineCore> make_core(const CoreOptions& o) {
  return std::make_unique<EngineCore>(o, std::make_unique<FakeRunner>(o.num_blocks, o.block_size),
                                      std::make_shared<FakeTokenizer>());
}

// Without the prefix cache too: then nobody but the preempted sequence itself finds its blocks.
TEST(SwapSpace, WhatIsPreemptedGoesOnWithoutBeingComputedAgain) {
  for (const bool prefix_cache : {false, true}) {
    SCOPED_TRACE(prefix_cache);
    CoreOptions without = options(0), with = options(200);
    without.prefix_cache = with.prefix_cache = prefix_cache;
    const auto computes = make_core(without), swaps = make_core(with);
    const std::vector<Heard> expected = run(*computes), got = run(*swaps);
    for (size_t i = 0; i < expected.size(); ++i) expect_same(got[i], expected[i]);
    const EngineStats a = computes->stats(), b = swaps->stats();
    EXPECT_GT(a.preemptions, 3u);
    EXPECT_GT(b.preemptions, 3u);
    EXPECT_GT(b.swapped_in, 10u);
    EXPECT_GE(b.swapped_out, b.swapped_in);
    EXPECT_EQ(a.swapped_out, 0u);
    // Of each preempted sequence at most the block that was not full, and its last token.
    EXPECT_LE(b.prompt_tokens + b.generated_tokens, 8u * (12 + 40) + b.preemptions * 5);
    EXPECT_GT(a.prompt_tokens, b.prompt_tokens);
    EXPECT_EQ(b.kv_blocks_used, 0);
  }
}

// Two places: what is swapped out pushes out others all the time.
TEST(SwapSpace, IsAllowedToBeTooSmall) {
  const auto computes = make_core(options(0)), swaps = make_core(options(2));
  const std::vector<Heard> expected = run(*computes), got = run(*swaps);
  for (size_t i = 0; i < expected.size(); ++i) expect_same(got[i], expected[i]);
  EXPECT_GT(swaps->stats().swapped_out, 2u);
  EXPECT_LE(swaps->stats().swap_blocks_used, 2);
}

// Each copy of the run in turn: the requests of that step end with the error, all others with what they should say,
// and so do those that come afterwards.
TEST(SwapSpace, ACopyThatFailsEndsItsStepAndSpoilsNothingElse) {
  CoreOptions with = options(200);
  with.prefix_cache = true;
  const std::vector<Heard> expected = run(*make_core(options(0)));
  int failing = 0;
  for (; failing < 1000; failing += 5) {
    with.swap = options(200).swap;
    auto fake = std::make_unique<FakeRunner>(with.num_blocks, with.block_size);
    FakeRunner& runner = *fake;
    EngineCore core(with, std::move(fake), std::make_shared<FakeTokenizer>());
    runner.copies_until_failure = failing;
    const std::vector<Heard> got = run(core);
    int errors = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      if (got[i].last.reason == FinishReason::kError) {
        ++errors;
        EXPECT_NE(got[i].last.error.message().find("swapping"), std::string::npos) << got[i].last.error.message();
      } else {
        expect_same(got[i], expected[i]);
      }
    }
    if (errors == 0) break;
    const std::vector<Heard> again = run(core);
    for (size_t i = 0; i < again.size(); ++i) expect_same(again[i], expected[i]);
  }
  EXPECT_GT(failing, 20) << "copies that a run has at least";
  EXPECT_LT(failing, 1000);
}

}  // namespace
}  // namespace ferrum
