// Two sequences that share all their KV, the block that is not full too, and then go different ways: each computes, to
// the bit, what it computes by itself. For every type of KV.
#include <gtest/gtest.h>

#include <map>

#include "backend/registry.h"
#include "io/gguf.h"
#include "models/registry.h"
#include "runner/runner.h"
#include "sched/batch_builder.h"

namespace ferrum {
namespace {

constexpr int kBlocks = 16, kBlockSize = 4;

std::unique_ptr<Runner> make_runner(const std::string& backend_name, DType kv_dtype) {
  auto file = Gguf::open(std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/llama3.gguf");
  auto backend = make_backend({backend_name, "auto", 1, {64}});
  if (!file.is_ok() || !backend.is_ok()) ADD_FAILURE() << file.status().message() << backend.status().message();
  auto model = load_model(*file, **backend, {});
  if (!model.is_ok()) ADD_FAILURE() << model.status().message();
  auto runner = Runner::create(std::move(*backend), std::move(*model), {64, 64, kBlocks, kBlockSize, kv_dtype});
  if (!runner.is_ok()) ADD_FAILURE() << runner.status().message();
  return std::move(*runner);
}

using Texts = std::map<SeqId, std::vector<TokenId>>;

// One step that computes all of each named text that is not in the cache; the logits of each text's last token.
std::map<SeqId, std::vector<float>> step(Runner& runner, BlockAllocator& kv, const Texts& texts) {
  StepPlan plan;
  std::vector<Growth> growths;
  for (const auto& [seq, text] : texts) {
    const int begin = kv.length(seq), end = static_cast<int>(text.size());
    plan.rows.push_back({.seq = seq, .begin = begin, .count = end - begin, .logit_count = 1, .samples = true});
    growths.push_back({seq, end});
  }
  plan.reservation = kv.reserve(growths).value();
  const Batch batch = build_batch(plan, kv, [&](SeqId id) { return std::span<const TokenId>(texts.at(id)); });
  const auto output = runner.run(batch);
  EXPECT_TRUE(output.is_ok()) << output.status().message();
  std::map<SeqId, std::vector<float>> logits;
  for (size_t i = 0; i < plan.rows.size(); ++i) {
    const float* row = output->logits.row<const float>(static_cast<int64_t>(i));
    logits[plan.rows[i].seq].assign(row, row + output->logits.cols());
  }
  return logits;
}

std::vector<float> alone(Runner& runner, const std::vector<TokenId>& text) {
  BlockAllocator kv(kBlocks, kBlockSize);
  return step(runner, kv, {{1, text}}).at(1);
}

TEST(KvFork, EachForkGoesItsOwnWay) {
  for (const char* backend : {"reference", "cpu"}) {
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32, DType::kI8}) {
      SCOPED_TRACE(std::string(backend) + " " + std::string(to_string(dtype)));
      const auto runner = make_runner(backend, dtype);
      BlockAllocator kv(kBlocks, kBlockSize);
      const std::vector<TokenId> opening = {5, 9, 2, 31, 8, 44};
      (void)step(*runner, kv, {{1, opening}});
      kv.fork(1, 2);
      kv.fork(1, 3);
      Texts texts;
      for (SeqId id = 1; id <= 3; ++id) {
        texts[id] = opening;
        texts[id].push_back(static_cast<TokenId>(10 + id));
      }
      const auto first = step(*runner, kv, texts);
      EXPECT_EQ(kv.used_blocks(), 4) << "the full block is shared, the other is each one's own";
      for (auto& [id, text] : texts) {
        EXPECT_EQ(first.at(id), alone(*make_runner(backend, dtype), text)) << "fork " << id;
        text.push_back(7);
      }
      const auto second = step(*runner, kv, texts);
      for (const auto& [id, text] : texts) {
        EXPECT_EQ(second.at(id), alone(*make_runner(backend, dtype), text)) << "fork " << id;
      }
    }
  }
}

}  // namespace
}  // namespace ferrum
