// A conversation that goes on in another process: what was saved and restored gives, to the bit, what computing it
// again gives. Real forward passes, for every type of KV, with and without a sliding window.
#include <gtest/gtest.h>

#include <filesystem>

#include "engine/workload_for_test.h"
#include "tests/model_core_for_test.h"

namespace ferrum {
namespace {

CoreOptions options() {
  CoreOptions o;
  o.block_size = 4;
  o.num_blocks = 60;
  o.requests.max_model_len = 130;
  o.scheduler = {4, 32, 100, 10};
  o.window = 1;  // the model's
  o.prefix_cache = true;
  return o;
}

Heard ask(EngineCore& core, const std::vector<TokenId>& prompt, float temperature) {
  Request r;
  r.prompt = prompt;
  r.stop.max_tokens = 25;
  r.stop.ignore_eos = true;
  r.sampling.temperature = temperature;
  r.sampling.seed = 7;
  r.sampling.logprobs = 3;
  Heard heard;
  EXPECT_TRUE(core.submit(r, [&](Event e) { heard(std::move(e)); }).is_ok());
  while (*core.step()) {
  }
  return heard;
}

TEST(KvSave, AConversationGoesOnAsIfItHadNeverStopped) {
  const std::string path = testing::TempDir() + "ferrum_kv_save.kv";
  for (const char* family : {"llama3", "qwen3", "mistral"}) {
    for (const char* backend : {"reference", "cpu"}) {
      for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32, DType::kI8}) {
        SCOPED_TRACE(std::string(family) + " " + backend + " " + std::string(to_string(dtype)));
        const auto make = [&] { return model_core(family, {backend}, options(), dtype); };
        std::vector<TokenId> text;
        for (int i = 0; i < 41; ++i) text.push_back(3 + 7 * i % 90);
        KvIdentity id;
        {
          const auto first = make();
          id = first->options().kv;
          const Heard answer = ask(*first, text, 0.8f);
          text.insert(text.end(), answer.tokens.begin(), answer.tokens.end());
          auto kv = first->export_kv(text, "");
          ASSERT_TRUE(kv.is_ok()) << kv.status().message();
          EXPECT_EQ(kv->tokens.size(), 64u);
          ASSERT_TRUE(write_kv_file(path, id, "", *kv).is_ok());
        }
        text.push_back(5);
        const auto second = make();
        const auto kv = read_kv_file(path, id, "", 60);
        ASSERT_TRUE(kv.is_ok()) << kv.status().message();
        ASSERT_TRUE(second->import_kv(*kv, "").is_ok());
        for (const float temperature : {0.0f, 1.0f}) {
          const Heard got = ask(*second, text, temperature), expected = ask(*make(), text, temperature);
          EXPECT_EQ(got.last.usage.cached_tokens, 64);
          EXPECT_EQ(expected.last.usage.cached_tokens, 0);
          expect_same(got, expected);
        }
      }
    }
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace ferrum
