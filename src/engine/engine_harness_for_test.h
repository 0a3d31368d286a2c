// An engine over the fake model, for tests of what happens to requests.
#pragma once

#include <gtest/gtest.h>

#include "engine/engine_core.h"
#include "engine/fakes_for_test.h"

namespace ferrum {

inline CoreOptions roomy() {
  CoreOptions o;
  o.scheduler = {8, 64, 16, 100};
  o.requests = {kFakeVocab, 200};
  o.num_blocks = 400;
  o.block_size = 4;
  return o;
}

struct Harness {
  explicit Harness(const CoreOptions& options = roomy())
      : runner(new FakeRunner(options.num_blocks, options.block_size)),
        core(options, std::unique_ptr<StepRunner>(runner), std::make_shared<FakeTokenizer>()) {}

  RequestId submit(Request request, Heard& heard) {
    const auto id = core.submit(std::move(request), [&heard](Event e) { heard(std::move(e)); });
    EXPECT_TRUE(id.is_ok()) << id.status().message();
    return id.is_ok() ? *id : 0;
  }
  void run() {
    while (*core.step()) EXPECT_EQ(core.violations(), std::vector<std::string>{});
    EXPECT_EQ(core.stats().kv_blocks_used, 0);
  }
  Heard alone(Request request) {
    Heard heard;
    submit(std::move(request), heard);
    run();
    return heard;
  }

  FakeRunner* runner;  // owned by core
  EngineCore core;
};

inline Request request(std::vector<TokenId> prompt, int max_tokens, float temperature = 0) {
  Request r;
  r.prompt = std::move(prompt);
  r.stop.max_tokens = max_tokens;
  r.sampling.temperature = temperature;
  r.sampling.seed = 5;
  return r;
}

inline Request endless(std::vector<TokenId> prompt, int max_tokens) {
  Request r = request(std::move(prompt), max_tokens, 1.0f);
  r.stop.ignore_eos = true;
  return r;
}

}  // namespace ferrum
