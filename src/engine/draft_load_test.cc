// Which models may guess for which, what they take, and that what is loaded guesses.
#include "engine/draft_load.h"

#include <gtest/gtest.h>

#include "engine/fakes_for_test.h"
#include "engine/memory_plan.h"
#include "io/gguf_writer.h"
#include "models/spec_reader.h"
#include "runner/runner.h"

namespace ferrum {
namespace {

const std::string kDemo = std::string(FERRUM_SOURCE_DIR) + "/models/ferrum-demo.gguf";

// A file that says nothing but its vocabulary; no tokens = not even that.
std::shared_ptr<const Gguf> vocabulary(const std::string& kind, const std::vector<std::string>& tokens) {
  GgufWriter file;
  file.set_string("tokenizer.ggml.model", kind);
  if (!tokens.empty()) file.set_strings("tokenizer.ggml.tokens", tokens);
  std::vector<GgufSource> sources;
  sources.push_back(GgufSource::from_vector("vocabulary.gguf", *file.to_bytes()));
  auto opened = Gguf::from_sources(std::move(sources));
  EXPECT_TRUE(opened.is_ok()) << opened.status().message();
  return *opened;
}

Status check(const std::shared_ptr<const Gguf>& target, const std::shared_ptr<const Gguf>& draft) {
  return check_draft_model(*target, *draft);
}

TEST(DraftFit, TheSameVocabularyFitsAndOneMayBeLonger) {
  const auto target = vocabulary("gpt2", {"a", "b", "c"});
  EXPECT_TRUE(check(target, vocabulary("gpt2", {"a", "b", "c"})).is_ok());
  EXPECT_TRUE(check(target, vocabulary("gpt2", {"a", "b"})).is_ok());
  EXPECT_TRUE(check(target, vocabulary("gpt2", {"a", "b", "c", "d"})).is_ok());
}

TEST(DraftFit, AnotherVocabularyIsRefusedWithTheFirstTokenThatDiffers) {
  const auto target = vocabulary("gpt2", {"a", "b", "c"});
  const Status other = check(target, vocabulary("gpt2", {"a", "B\n", "c"}));
  EXPECT_EQ(other.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(other.message().find("token 1 is 'B\\n'"), std::string::npos) << other.message();
  EXPECT_NE(other.message().find("'b' in the model's"), std::string::npos) << other.message();
  const Status kind = check(target, vocabulary("llama", {"a", "b", "c"}));
  EXPECT_NE(kind.message().find("'llama'"), std::string::npos) << kind.message();
  EXPECT_FALSE(check(target, vocabulary("gpt2", {})).is_ok());
  EXPECT_FALSE(check(vocabulary("gpt2", {}), target).is_ok());
}

TEST(DraftFit, AWindowIsTheWiderOneAndAllIsWidest) {
  EXPECT_EQ(wider_window(0, 0), 0);
  EXPECT_EQ(wider_window(8, 0), 0);
  EXPECT_EQ(wider_window(0, 8), 0);
  EXPECT_EQ(wider_window(8, 5), 8);
  EXPECT_EQ(wider_window(5, 8), 8);
}

TEST(DraftPlan, CountsItsWeightsItsWorkspaceAndItsKv) {
  MemoryDemand demand;
  demand.options.threads = 2;
  demand.options.max_seqs = 4;
  demand.available = int64_t{8} << 30;
  const auto file = *Gguf::open(kDemo);
  const MemoryPlan without = *plan_memory(*file, demand);
  demand.draft = file;
  const MemoryPlan with = *plan_memory(*file, demand);
  const auto part = [](const MemoryPlan& plan, std::string_view name) {
    for (const MemoryPart& p : plan.parts) {
      if (p.name == name) return p.bytes;
    }
    return int64_t{0};
  };
  EXPECT_EQ(with.kv_bytes_per_block, 2 * without.kv_bytes_per_block);
  EXPECT_EQ(part(with, "KV cache"), 2 * part(without, "KV cache"));
  EXPECT_EQ(part(with, "draft weights"), part(without, "weights"));
  EXPECT_GT(part(with, "draft workspace"), 0);
  EXPECT_EQ(part(without, "draft workspace"), 0);
  // A budget for the KV is a budget for both.
  demand.options.kv_memory_fraction = 0.01;
  demand.options.max_seqs = 4096;
  demand.options.max_batched_tokens = 4096;
  EXPECT_LT(plan_memory(*file, demand)->options.kv_blocks * with.kv_bytes_per_block,
            static_cast<int64_t>(0.011 * (int64_t{8} << 30)));
}

TEST(DraftEngine, RefusesADraftModelThatIsNoneAndAModeWithoutOne) {
  EngineOptions options;
  options.draft_model = "/nonexistent.gguf";
  const auto missing = Engine::load(kDemo, options);
  ASSERT_FALSE(missing.is_ok());
  EXPECT_NE(missing.status().message().find("the draft model"), std::string::npos) << missing.status().message();
  options.draft_model.clear();
  options.speculation.mode = SpeculationMode::kDraft;
  EXPECT_NE(Engine::load(kDemo, options).status().message().find("needs a draft model"), std::string::npos);
}

}  // namespace
}  // namespace ferrum
