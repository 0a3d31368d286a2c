// From a real file and this machine to engine options: capabilities are those of the file, and what is decided is what
// the engine is told.
#include "engine/configure.h"

#include <gtest/gtest.h>

#include "engine/capabilities.h"

namespace ferrum {
namespace {

std::string demo_model() { return std::string(FERRUM_SOURCE_DIR) + "/models/ferrum-demo.gguf"; }

std::shared_ptr<const Gguf> demo_file() { return Gguf::open(demo_model()).value(); }

Settings with(const std::vector<std::pair<const char*, const char*>>& settings) {
  Settings s;
  for (const auto& [key, value] : settings) EXPECT_TRUE(s.set(key, value, Source::kEnvironment).is_ok()) << key;
  return s;
}

TEST(Capabilities, AreThoseOfTheFile) {
  const auto file = demo_file();
  const ModelCapabilities m = model_capabilities(file);
  int64_t bytes = 0;
  for (const GgufTensor& tensor : file->tensors()) bytes += static_cast<int64_t>(tensor.bytes);
  EXPECT_EQ(m.estimated_weight_bytes, bytes);
  EXPECT_EQ(m.architecture, *file->get_string("general.architecture").value());
  EXPECT_EQ(m.max_context_len, *file->get_int(m.architecture + ".context_length").value());
  EXPECT_EQ(m.num_hidden_layers, *file->get_int(m.architecture + ".block_count").value());
  EXPECT_EQ(m.kv_heads, *file->get_int(m.architecture + ".attention.head_count_kv").value());
  EXPECT_TRUE(m.head_dim.has_value());
  EXPECT_FALSE(m.moe.has_value());
  ASSERT_FALSE(m.weight_types.empty());
  EXPECT_TRUE(m.kv_bytes_per_token().has_value());
}

TEST(Capabilities, ThisHostCanComputeAndHasMemory) {
  const CpuHost host = cpu_host();
  ASSERT_FALSE(host.isa.empty());
  EXPECT_EQ(host.isa.front(), "baseline");
  EXPECT_GE(host.cores, 1);
  EXPECT_GT(host.free_memory, 0);
}

TEST(Configure, TheEngineIsToldWhatIsDecided) {
  const auto c = configure(demo_model(),
                           with({{"FERRUM_THREADS", "1"},
                                 {"FERRUM_CPU_ISA", "baseline"},
                                 {"FERRUM_MAX_SEQS", "3"},
                                 {"FERRUM_MAX_BATCHED_TOKENS", "48"},
                                 {"FERRUM_MAX_WAITING", "7"},
                                 {"FERRUM_CONTEXT", "100"},
                                 {"FERRUM_BLOCK_SIZE", "8"},
                                 {"FERRUM_SWAP_SPACE", "3"},
                                 {"FERRUM_KV_BLOCKS", "32"},
                                 {"FERRUM_KV_DTYPE", "bf16"},
                                 {"FERRUM_SPECULATION", "ngram"},
                                 {"FERRUM_SPECULATION_MAX_DRAFT", "11"},
                                 {"FERRUM_SPECULATION_NGRAM_MIN", "3"},
                                 {"FERRUM_SPECULATION_NGRAM_MAX", "7"},
                                 {"FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "5"}}),
                           RunKind::kServing);
  ASSERT_TRUE(c.is_ok()) << c.status().message();
  const EngineOptions o = engine_options(c->run);
  EXPECT_EQ(o.backend, "cpu");
  EXPECT_EQ(o.isa, "baseline");
  EXPECT_EQ(o.threads, 1);
  EXPECT_EQ(o.max_seqs, 3);
  EXPECT_EQ(o.max_batched_tokens, 48);
  EXPECT_EQ(o.max_waiting, 7);
  EXPECT_EQ(o.max_model_len, 100);
  EXPECT_EQ(o.block_size, 8);
  EXPECT_EQ(o.swap_bytes, 3 << 20);
  EXPECT_EQ(o.kv_blocks, 32);
  EXPECT_EQ(o.kv_dtype, DType::kBF16);
  EXPECT_EQ(o.active_decode_prefill_chunk, 5);
  EXPECT_EQ(o.speculation.mode, SpeculationMode::kNgram);
  EXPECT_EQ(o.speculation.max_draft, 11);
  EXPECT_EQ(o.speculation.ngram_min, 3);
  EXPECT_EQ(o.speculation.ngram_max, 7);

  // And the engine obeys.
  const auto engine = Engine::load(demo_model(), o);
  ASSERT_TRUE(engine.is_ok()) << engine.status().message();
  EXPECT_EQ((*engine)->stats().kv_blocks_total, 32);
  EXPECT_EQ((*engine)->options().max_model_len, 100);
  EXPECT_NE((*engine)->describe().find("baseline"), std::string::npos);
  EXPECT_NE((*engine)->describe().find("32 x 8 tokens of BF16"), std::string::npos) << (*engine)->describe();
}

TEST(Configure, NothingIsLeftOpen) {
  for (RunKind kind : {RunKind::kServing, RunKind::kSingleUser}) {
    const auto c = configure(demo_model(), Settings(), kind);
    ASSERT_TRUE(c.is_ok()) << c.status().message();
    const EngineOptions o = engine_options(c->run);
    EXPECT_NE(o.isa, "auto");
    EXPECT_GE(o.threads, 1);
    EXPECT_GE(o.kv_blocks, 1);
    EXPECT_GE(o.max_model_len, 1);
    EXPECT_EQ(o.max_seqs == 1, kind == RunKind::kSingleUser);
    EXPECT_TRUE(c->run.cpu_profile.has_value());
    EXPECT_TRUE(validate(o.speculation).is_ok());
    EXPECT_EQ(o.speculation.max_draft, SpeculationParams().max_draft);  // the two places that say it agree
    EXPECT_EQ(o.speculation.ngram_min, SpeculationParams().ngram_min);
    EXPECT_EQ(o.speculation.ngram_max, SpeculationParams().ngram_max);
  }
}

TEST(Configure, ADraftModelIsLookedAtBeforeAnythingIsDecided) {
  const auto fits = configure(demo_model(), with({{"FERRUM_DRAFT_MODEL", demo_model().c_str()}}), RunKind::kServing);
  ASSERT_TRUE(fits.is_ok()) << fits.status().message();
  EXPECT_EQ(engine_options(fits->run).draft_model, demo_model());
  EXPECT_EQ(engine_options(fits->run).speculation.mode, SpeculationMode::kBoth);
  const auto missing = configure(demo_model(), with({{"FERRUM_DRAFT_MODEL", "/nonexistent.gguf"}}), RunKind::kServing);
  ASSERT_FALSE(missing.is_ok());
  EXPECT_NE(missing.status().message().find("the draft model"), std::string::npos) << missing.status().message();
}

TEST(Configure, TheReferenceBackendIsOneThread) {
  const auto c = configure(demo_model(), with({{"FERRUM_BACKEND", "reference"}}), RunKind::kSingleUser);
  ASSERT_TRUE(c.is_ok()) << c.status().message();
  EXPECT_EQ(engine_options(c->run).backend, "reference");
  EXPECT_EQ(engine_options(c->run).threads, 1);
}

// Whatever this machine has: the backend's own reason is the refusal's.
TEST(Configure, AGpuThatIsNotThereIsRefusedForTheBackendsReason) {
  const CudaHost cuda = cuda_host();
  const auto c = configure(demo_model(), with({{"FERRUM_BACKEND", "cuda"}}), RunKind::kSingleUser);
  if (cuda.reason.empty()) {
    ASSERT_TRUE(c.is_ok()) << c.status().message();
    EXPECT_EQ(engine_options(c->run).backend, "cuda");
    return;
  }
  ASSERT_FALSE(c.is_ok());
  EXPECT_NE(c.status().message().find(cuda.reason), std::string::npos) << c.status().message();
  const auto automatic = configure(demo_model(), Settings(), RunKind::kSingleUser);
  EXPECT_EQ(engine_options(automatic->run).backend, "cpu");
}

TEST(Configure, AGpuIsTakenWhereItIsThereAndAskedFor) {
  Hosts hosts{{{"baseline"}, 4, int64_t{8} << 30}, {}};
  hosts.cuda.reason = "";
  hosts.cuda.free_memory = int64_t{78} << 30;
  hosts.cuda.capabilities.backend = "cuda";
  hosts.cuda.capabilities.vram_bytes = int64_t{80} << 30;
  hosts.cuda.capabilities.supported_kv_dtypes = {"fp16", "bf16", "fp32", "int8"};
  const ConfiguredModels models{model_capabilities(demo_file())};
  for (const RunKind kind : {RunKind::kServing, RunKind::kSingleUser}) {
    const auto asked = configure(models, hosts, with({{"FERRUM_BACKEND", "cuda"}, {"FERRUM_KV_DTYPE", "bf16"}}), kind);
    ASSERT_TRUE(asked.is_ok()) << asked.status().message();
    const EngineOptions o = engine_options(asked->run);
    EXPECT_EQ(o.backend, "cuda");
    EXPECT_EQ(o.kv_dtype, DType::kBF16);
    EXPECT_EQ(o.max_seqs, kind == RunKind::kServing ? 32 : 1);
    EXPECT_EQ(o.max_batched_tokens, kind == RunKind::kServing ? 2048 : 512);
    EXPECT_EQ(engine_options(configure(models, hosts, Settings(), kind)->run).backend, "cpu");
  }
}

TEST(Configure, AFileThatIsNoneIsItsError) {
  EXPECT_FALSE(configure("/nonexistent.gguf", Settings(), RunKind::kServing).is_ok());
}

}  // namespace
}  // namespace ferrum
