// The plan agrees with what is allocated, refuses what cannot fit before anything is taken, and says what would fit.
// Against the memory of real processes: tests/memory_check.cc.
#include "engine/memory_plan.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/emulation/wrapped_device.h"
#include "backend/registry.h"
#include "engine/model_step_runner.h"
#include "models/registry.h"
#include "models/spec_reader.h"
#include "runner/runner.h"

namespace ferrum {
namespace {

constexpr int64_t kMiB = 1 << 20, kGiB = int64_t{1} << 30;

const std::string kModel = std::string(FERRUM_SOURCE_DIR) + "/models/ferrum-demo.gguf";

MemoryDemand demand() {
  MemoryDemand d;
  d.options.threads = 2;
  d.options.max_seqs = 4;
  d.available = 8 * kGiB;
  return d;
}

class MemoryPlanTest : public testing::Test {
 protected:
  void SetUp() override {
    auto file = Gguf::open(kModel);
    ASSERT_TRUE(file.is_ok()) << file.status().message();
    file_ = *file;
  }
  MemoryPlan plan(const MemoryDemand& d) const {
    auto made = plan_memory(*file_, d);
    EXPECT_TRUE(made.is_ok()) << made.status().message();
    return made.is_ok() ? *made : MemoryPlan();
  }
  static int64_t part(const MemoryPlan& plan, const std::string& name) {
    for (const MemoryPart& p : plan.parts) {
      if (p.name == name) return p.bytes;
    }
    ADD_FAILURE() << "no part " << name;
    return -1;
  }
  std::shared_ptr<const Gguf> file_;
};

TEST_F(MemoryPlanTest, SaysWhatTheAllocationsWillBe) {
  const MemoryPlan p = plan(demand());
  EXPECT_TRUE(p.verdict.is_ok()) << p.verdict.message();
  const auto spec = read_model_spec(*file_);
  ASSERT_TRUE(spec.is_ok());
  auto backend = make_backend({"cpu", "auto", 1, {p.options.max_batched_tokens}});
  ASSERT_TRUE(backend.is_ok());
  const auto model = load_model(file_, **backend, {});
  ASSERT_TRUE(model.is_ok());
  const auto workspace =
      (*model)->make_workspace(**backend, p.options.max_batched_tokens, planned_logit_rows(p.options));
  ASSERT_TRUE(workspace.is_ok());
  EXPECT_EQ(part(p, "workspace"), static_cast<int64_t>(workspace->buffer.bytes()));
  EXPECT_EQ(part(p, "KV cache"), p.options.kv_blocks * Runner::kv_block_bytes(*spec, 16, DType::kF16));
  EXPECT_EQ(p.options.kv_blocks, 4 * spec->max_context / 16);
  EXPECT_GE(part(p, "weights") + part(p, "packed weights"), static_cast<int64_t>(file_->file_bytes()));
  int64_t by_type = 0, tensors = 0;
  for (const MemoryPart& type : p.weights) by_type += type.bytes;
  for (const GgufTensor& t : file_->tensors()) tensors += static_cast<int64_t>(t.bytes);
  EXPECT_EQ(by_type, tensors);
}

TEST_F(MemoryPlanTest, CountsWhatExpertsTake) {
  const auto file = Gguf::open(std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/qwen3moe.gguf");
  ASSERT_TRUE(file.is_ok());
  file_ = *file;
  MemoryDemand d = demand();
  d.options.max_batched_tokens = 64;
  d.options.mmap_only = true;  // nothing for Linears: their inputs are read where they are
  const MemoryPlan p = plan(d);
  auto backend = make_backend({"cpu", "auto", 1, {64}});
  const auto model = load_model(file_, **backend, {});
  const auto workspace = (*model)->make_workspace(**backend, 64, planned_logit_rows(p.options));
  ASSERT_TRUE(workspace.is_ok());
  EXPECT_EQ(part(p, "workspace"), static_cast<int64_t>(workspace->buffer.bytes()));
  // 64 tokens with 3 experts each: the gathered rows of 32 floats, hidden layers of 16, and the plan.
  constexpr int64_t kPairs = 64 * 3;
  EXPECT_EQ(part(p, "backend scratch"), kPairs * (32 + 16) * 4 + kPairs * 4 * 4 + (3 * 8 + 1) * 4);
}

// 8 experts of 3 x 32 x 16 floats in each of 2 layers, of which a token needs 3.
TEST_F(MemoryPlanTest, CountsThePlacesOfExpertsThatDoNotAllHaveOne) {
  const auto file = Gguf::open(std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/qwen3moe.gguf");
  ASSERT_TRUE(file.is_ok());
  file_ = *file;
  const int64_t layers = read_model_spec(*file_)->num_layers, expert = 3 * 32 * 16 * 4;
  MemoryDemand d = demand();
  const MemoryPlan whole = plan(d);
  EXPECT_FALSE(whole.streaming.has_value());
  d.options.expert_cache_bytes = 5 * layers * expert + 100;
  const MemoryPlan p = plan(d);
  EXPECT_EQ(part(p, "weights"), part(whole, "weights")) << "the file's pages are given back all the same";
  EXPECT_EQ(part(p, "expert cache"), (5 * layers * expert + 4095) / 4096 * 4096);
  EXPECT_LT(part(p, "packed weights") + part(p, "expert cache"), part(whole, "packed weights"));
  ASSERT_TRUE(p.streaming.has_value());
  EXPECT_EQ(p.streaming->places, 5);
  EXPECT_EQ(p.streaming->experts, 8);
  EXPECT_EQ(p.streaming->read_bytes_per_token, layers * 3 * expert * 3 / 8) << "three of eight are not there";
  EXPECT_NE(render_table(p).find("5 of 8"), std::string::npos);
  d.available = p.host_total() - p.resident_before - part(p, "KV cache");
  EXPECT_NE(plan(d).verdict.message(), "") << "nothing is left for KV";
  d.available = 8 * kGiB;
  d.options.expert_cache_bytes = 8 * layers * expert;
  EXPECT_FALSE(plan(d).streaming.has_value()) << "room for all";
  d.options.expert_cache_bytes = 2 * layers * expert;
  const auto refused = plan_memory(*file_, d);
  EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(refused.status().message().find("FERRUM_EXPERT_CACHE"), std::string::npos);
}

// What `ferrum plan` adds: measured on the file, so positive and no more.
TEST_F(MemoryPlanTest, MeasuresWhatExpertsTakeThatAreReadWhenTheyAreNeeded) {
  EngineOptions o;
  o.threads = 1;
  o.max_seqs = 1;
  o.expert_cache_bytes = 5 * 2 * 3 * 32 * 16 * 4;
  const auto report =
      plan_file(std::string(FERRUM_SOURCE_DIR) + "/tests/data/models/qwen3moe.gguf", o, std::nullopt, true);
  ASSERT_TRUE(report.is_ok()) << report.status().message();
  const auto json = nlohmann::json::parse(report->text);
  EXPECT_EQ(json["expert_streaming"]["places"], 5);
  for (const char* key : {"hit_ms", "miss_ms", "tokens_per_second"}) {
    EXPECT_GT(json["expert_streaming"][key].get<double>(), 0) << key;
  }
}

TEST_F(MemoryPlanTest, CountsWeightsInTheFileOrAsCopiesButForTheEmbedding) {
  const MemoryPlan packed = plan(demand());
  MemoryDemand d = demand();
  d.options.mmap_only = true;
  const MemoryPlan in_place = plan(d);
  EXPECT_EQ(part(in_place, "packed weights"), 0);
  EXPECT_GE(part(in_place, "weights"), static_cast<int64_t>(file_->file_bytes()));
  const auto left = part(in_place, "weights") - part(packed, "weights");
  EXPECT_GT(left, 0);
  // Copies are as large as what they replace, but for pages begun and, where it is the head too, the embedding.
  const auto embedding = static_cast<int64_t>(file_->find_tensor("token_embd.weight")->bytes);
  EXPECT_GE(part(packed, "packed weights"), left);
  EXPECT_LE(part(packed, "packed weights"), left + embedding + 64 * 4096);
}

TEST_F(MemoryPlanTest, GrowsWithWhatItIsAskedFor) {
  const MemoryPlan base = plan(demand());
  MemoryDemand d = demand();
  d.options.kv_dtype = DType::kF32;
  EXPECT_EQ(part(plan(d), "KV cache"), 2 * part(base, "KV cache"));
  MemoryDemand swaps = d;
  swaps.options.swap_bytes = 5 * kMiB;
  EXPECT_EQ(plan(swaps).host_total(), plan(d).host_total() + 5 * kMiB);
  d.options.kv_dtype = DType::kI8;  // half, and a float per token and KV head for each of K and V
  const auto spec = read_model_spec(*file_);
  ASSERT_TRUE(spec.is_ok());
  EXPECT_EQ(part(plan(d), "KV cache"), part(base, "KV cache") / 2 + int64_t{base.options.kv_blocks} * 16 *
                                                                        spec->num_layers * spec->num_kv_heads * 2 * 4);
  d = demand();
  d.options.max_batched_tokens = 1024;
  EXPECT_GT(part(plan(d), "workspace"), part(base, "workspace") * 3 / 2);
  EXPECT_EQ(part(plan(d), "backend scratch"), 2 * part(base, "backend scratch"));
  d = demand();
  d.options.backend = "reference";
  EXPECT_EQ(part(plan(d), "backend scratch"), 0);
}

TEST_F(MemoryPlanTest, RefusesWhatDoesNotFitAndSaysWhatWould) {
  MemoryDemand d = demand();
  d.available = 24 * kMiB;
  d.options.max_model_len = 1024;
  d.options.kv_blocks = 4096;  // 192 MiB
  const MemoryPlan p = plan(d);
  EXPECT_EQ(p.verdict.code(), StatusCode::kCapacity);
  EXPECT_NE(p.verdict.message().find("kv_blocks"), std::string::npos) << p.verdict.message();
  ASSERT_FALSE(p.advice.empty());
  EXPECT_EQ(part(p, "KV cache"), 4096 * p.kv_bytes_per_block);  // the table shows what was wanted
  EXPECT_NE(render_table(p).find("It does not fit"), std::string::npos);

  d = demand();
  d.available = 4 * kMiB;  // less than the weights
  const MemoryPlan none = plan(d);
  EXPECT_EQ(none.verdict.code(), StatusCode::kCapacity);
  EXPECT_NE(render_table(none).find("smaller model"), std::string::npos);
}

TEST_F(MemoryPlanTest, ReducesTheContextOnlyWhereNobodyAskedForOne) {
  MemoryDemand d = demand();
  d.options.max_seqs = 1;
  const MemoryPlan whole = plan(d);
  d.available = whole.host_total() - whole.resident_before - part(whole, "KV cache") + kMiB;  // half of it: 10 blocks
  const MemoryPlan p = plan(d);
  EXPECT_TRUE(p.verdict.is_ok()) << p.verdict.message();
  EXPECT_EQ(p.options.max_model_len, 160);
  EXPECT_NE(p.note, "");
}

TEST_F(MemoryPlanTest, PlansForAnAcceleratorThatIsNotThere) {
  MemoryDemand d = demand();
  d.device_bytes = 24 * kGiB;
  const MemoryPlan p = plan(d);
  EXPECT_TRUE(p.verdict.is_ok());
  EXPECT_EQ(p.total(MemoryKind::kDevice), part(p, "weights") + part(p, "KV cache") + part(p, "workspace") +
                                              part(p, "backend scratch") + part(p, "device reserve"));
  EXPECT_EQ(part(p, "device reserve"), 24 * kGiB / 10);
  d.device_bytes = 2 * kGiB;  // the reserve alone
  EXPECT_EQ(plan(d).verdict.code(), StatusCode::kCapacity);
}

// Bytes that the backend takes of a device while it loads, on the emulator: what was planned, but for the step's arrays
// and what allocations are rounded up to.
class CountingDevice final : public cuda::WrappedDevice {
 public:
  explicit CountingDevice(int64_t* bytes) : bytes_(bytes) {}
  Result<Buffer> allocate(size_t bytes) override {
    *bytes_ += static_cast<int64_t>(bytes);
    return WrappedDevice::allocate(bytes);
  }

 private:
  int64_t* const bytes_;
};

TEST_F(MemoryPlanTest, CountsWhatTheCudaBackendTakesOfADevice) {
  for (const char* path : {"models/ferrum-demo.gguf", "tests/data/models/qwen2moe.gguf"}) {
    const auto file = Gguf::open(std::string(FERRUM_SOURCE_DIR) + "/" + path).value();
    MemoryDemand d = demand();
    d.options.backend = "cuda";
    d.options.max_batched_tokens = 64;
    d.options.max_seqs = 4;
    d.options.kv_blocks = 8;
    d.options.max_model_len = 64;
    d.device_bytes = 24 * kGiB;
    const MemoryPlan p = plan_memory(*file, d).value();
    int64_t taken = 0;
    auto backend = std::make_unique<cuda::CudaBackend>(std::make_unique<CountingDevice>(&taken),
                                                       cuda::emulated::kernels(), BackendLimits{.max_tokens = 64});
    auto model = load_model(file, *backend, {});
    ASSERT_TRUE(model.is_ok()) << model.status().message();
    auto runner =
        ModelStepRunner::create(std::move(backend), std::move(*model), p.options, planned_logit_rows(p.options));
    ASSERT_TRUE(runner.is_ok()) << runner.status().message();
    const int64_t planned = p.total(MemoryKind::kDevice) - part(p, "device reserve");
    // Scratch that grows while the model is loaded is counted again here.
    EXPECT_LE(taken, planned + part(p, "backend scratch") + 4096) << path;
    EXPECT_GE(taken, planned - planned / 20) << path;
  }
}

TEST_F(MemoryPlanTest, RendersJsonThatAddsUp) {
  const auto json = nlohmann::json::parse(render_json(plan(demand())));
  int64_t sum = 0;
  for (const auto& p : json["parts"]) sum += p["kind"] != "device" ? p["bytes"].get<int64_t>() : 0;
  EXPECT_EQ(sum, json["host_bytes"].get<int64_t>());
  EXPECT_EQ(json["fits"], true);
}

// Before anything is allocated: the process does not grow by what is refused.
TEST_F(MemoryPlanTest, TheEngineRefusesAtOnce) {
  EngineOptions options;
  options.kv_blocks = int64_t{1} << 26;  // 200 TiB
  const ProcessMemory before = process_memory();
  const auto engine = Engine::load(kModel, options);
  EXPECT_EQ(engine.status().code(), StatusCode::kCapacity);
  EXPECT_NE(engine.status().message().find("kv_blocks"), std::string::npos) << engine.status().message();
  EXPECT_LT(process_memory().anonymous - before.anonymous, 8 * kMiB);
}

TEST(ProcessMemory, ReadsTheSystemsAccount) {
  const std::string root = (std::filesystem::temp_directory_path() / ("pm_" + std::to_string(getpid()))).string();
  std::filesystem::create_directories(root + "/proc/self");
  std::ofstream(root + "/proc/self/status") << "Name:\tx\nVmHWM:\t    900 kB\nRssAnon:\t    100 kB\n"
                                               "RssFile:\t    200 kB\nRssShmem:\t      7 kB\n";
  const ProcessMemory m = process_memory(root);
  EXPECT_EQ(m.anonymous, 100 * 1024);
  EXPECT_EQ(m.file, 207 * 1024);
  EXPECT_EQ(m.peak, 900 * 1024);
  EXPECT_EQ(process_memory(root + "/none").peak, 0);
  std::filesystem::remove_all(root);
  EXPECT_GT(process_memory().anonymous, 0);
}

TEST_F(MemoryPlanTest, TheParityGateLetsThisMachinePass) {
  EngineOptions with, without;
  with.max_model_len = without.max_model_len = 64;
  with.max_seqs = without.max_seqs = 1;
  without.parity_gate = false;
  const auto engine = Engine::load(kModel, with);
  ASSERT_TRUE(engine.is_ok()) << engine.status().message();
  EXPECT_GE((*engine)->kernel_choices().size(), 8u);
  for (const KernelChoice& choice : (*engine)->kernel_choices()) EXPECT_TRUE(choice.rejected.empty()) << choice.kernel;
  EXPECT_TRUE((*Engine::load(kModel, without))->kernel_choices().empty());
}

}  // namespace
}  // namespace ferrum
