// What this engine decides beyond the seeds: where it computes, threads, KV cache, kernels; what it refuses, and why.
#include <gtest/gtest.h>

#include "config/resolver.h"

namespace ferrum {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

struct Setting {
  const char* key;
  const char* value;
  Source source = Source::kEnvironment;
};

// A model of 28 layers with 8 KV heads of 128 (112 KiB per token in 16 bits) on a machine with 8 cores.
ResolverInput host_input(const std::vector<Setting>& settings = {}) {
  ResolverInput in;
  in.model.max_context_len = 40'960;
  in.model.num_hidden_layers = 28;
  in.model.kv_heads = 8;
  in.model.head_dim = 128;
  in.model.estimated_weight_bytes = 1 * kGiB;
  in.model.weight_types = {"Q4_K", "Q6_K", "F16", "F64"};
  in.hardware = HardwareCapabilities::host_cpu("cpu");
  in.host = CpuHost{{"baseline", "avx2"}, 8, 24 * kGiB};
  in.workload = WorkloadProfile::cpu_serving(*in.host);
  in.parts = EngineParts::this_build();
  for (const Setting& s : settings) {
    const Status status = in.settings.set(s.key, s.value, s.source);
    EXPECT_TRUE(status.is_ok()) << status.message();
  }
  return in;
}

RunConfig decide(const std::vector<Setting>& settings) {
  const Result<RunConfig> config = resolve(host_input(settings));
  EXPECT_TRUE(config.is_ok()) << config.status().message();
  return config.is_ok() ? *config : RunConfig();
}

// The error must have all these parts.
void expect_error(const Result<RunConfig>& config, const std::vector<std::string>& parts) {
  ASSERT_FALSE(config.is_ok()) << parts.front();
  for (const std::string& part : parts) {
    EXPECT_NE(config.status().message().find(part), std::string::npos) << config.status().message();
  }
}
void expect_refused(const std::vector<Setting>& settings, const std::vector<std::string>& parts) {
  expect_error(resolve(host_input(settings)), parts);
}

std::string reason_against(const RunConfig& c, std::string_view selection, std::string_view value) {
  const Decision* d = c.find(selection);
  if (d == nullptr) return "(not decided)";
  for (const RejectedCandidate& r : d->rejected) {
    if (r.value == value) return r.reason;
  }
  return "";
}

TEST(HostDecisions, Bf16ProductsAreRoundedWhereProcessorAndSettingsAllowIt) {
  const auto on = [](const std::vector<Setting>& settings) {
    ResolverInput in = host_input(settings);
    in.host->isa.emplace_back("avx512");
    in.host->rounded_bf16 = "amx_bf16";
    return resolve(in);
  };
  EXPECT_FALSE(decide({}).rounded_bf16);
  EXPECT_TRUE(on({})->rounded_bf16);
  EXPECT_EQ(on({})->find("bf16_products")->selected, "rounded by amx_bf16");
  EXPECT_TRUE(on({{"FERRUM_BF16_PRODUCTS", "rounded"}})->rounded_bf16);
  EXPECT_FALSE(on({{"FERRUM_BF16_PRODUCTS", "exact"}})->rounded_bf16);
  EXPECT_FALSE(on({{"FERRUM_CPU_ISA", "avx2"}})->rounded_bf16);
  EXPECT_FALSE(on({{"FERRUM_MMAP_ONLY", "true"}})->rounded_bf16);
  expect_refused({{"FERRUM_BF16_PRODUCTS", "rounded"}}, {"FERRUM_BF16_PRODUCTS", "a processor with BF16 products"});
  for (const auto& other : {Setting{"FERRUM_CPU_ISA", "avx2"}, Setting{"FERRUM_MMAP_ONLY", "true"}}) {
    expect_error(on({{"FERRUM_BF16_PRODUCTS", "rounded"}, other}), {"FERRUM_BF16_PRODUCTS", other.key});
  }
}

TEST(HostDecisions, TheDefaultsOfAServer) {
  const RunConfig c = decide({});
  EXPECT_EQ(c.backend, "cpu");
  EXPECT_EQ(c.cpu_isa, "avx2");
  EXPECT_EQ(c.threads, 8);
  EXPECT_EQ(c.dtype, "fp32");
  EXPECT_EQ(c.kv_dtype, "fp16");
  EXPECT_TRUE(c.paged_kv);
  EXPECT_EQ(c.block_size, 16);
  EXPECT_EQ(c.max_sequences, 32);
  EXPECT_EQ(c.max_batched_tokens, 2048);
  EXPECT_EQ(c.context_length, 40'960);  // one context is more than 2048 blocks
  EXPECT_EQ(c.kv_blocks, 2560);
  EXPECT_EQ(reason_against(c, "cpu_isa", "avx512"), "this machine or this build does not have it");
  EXPECT_EQ(reason_against(c, "cpu_isa", "baseline"), "a faster level is available");
  EXPECT_EQ(reason_against(c, "backend", "cuda"), "no CUDA device was looked for");
  EXPECT_EQ(reason_against(c, "kv_layout", "contiguous"), "not built into this engine");
  EXPECT_EQ(reason_against(c, "kv_dtype", "int8"), "half the memory, but less exact");
  EXPECT_EQ(reason_against(c, "kv_dtype", "fp8"), "the backend does not support it");
}

// Its weights and its KV are paid for out of the same memory.
TEST(HostDecisions, ADraftModelTakesItsShareAndOneThatDoesNotFitTheTargetIsRefused) {
  ResolverInput in = host_input({{"FERRUM_DRAFT_MODEL", "small.gguf"}});
  in.host->free_memory = 3 * kGiB;
  in.draft = DraftCapabilities{in.model, ""};
  in.draft->model.estimated_weight_bytes = kGiB / 2;
  EXPECT_EQ(resolve(in).value().kv_blocks, 219);  // half of 1.5 GiB in blocks of 2 x 1792 KiB
  in.draft->misfit = "token 7 is 'x'";
  expect_error(resolve(in), {"FERRUM_DRAFT_MODEL: invalid override: token 7 is 'x'", "small.gguf"});
}

TEST(HostDecisions, OneUserNeedsOneSequenceAndLargeSteps) {
  ResolverInput in = host_input();
  in.workload = WorkloadProfile::single_user();
  const RunConfig c = resolve(in).value();
  EXPECT_EQ(c.max_sequences, 1);
  EXPECT_EQ(c.max_batched_tokens, 512);
}

TEST(HostDecisions, TheKvCacheIsBoundedByMemoryAndByUse) {
  ResolverInput in = host_input();
  in.host->free_memory = 3 * kGiB;  // half of 2 GiB: 585 blocks of 1792 KiB
  RunConfig c = resolve(in).value();
  EXPECT_EQ(c.kv_blocks, 585);
  EXPECT_EQ(c.find("kv_block_count")->source, Source::kHardwareCapability);
  EXPECT_EQ(c.context_length, 585 * 16);
  EXPECT_EQ(reason_against(c, "context_length", "40960"), "more than may be used here");

  in.model.max_context_len = 100;
  in.workload.target_concurrency = 2;
  c = resolve(in).value();
  EXPECT_EQ(c.kv_blocks, 2 * 7);
  EXPECT_EQ(c.find("kv_block_count")->source, Source::kModelMetadata);

  in.host->free_memory = 1 * kGiB;
  const Result<RunConfig> none = resolve(in);
  ASSERT_FALSE(none.is_ok());
  EXPECT_EQ(none.status().code(), StatusCode::kCapacity);
}

TEST(HostDecisions, EverySettingIsObeyed) {
  EXPECT_EQ(decide({{"FERRUM_CPU_ISA", "baseline"}}).cpu_isa, "baseline");
  EXPECT_EQ(decide({{"FERRUM_THREADS", "3"}}).threads, 3);
  EXPECT_EQ(decide({{"FERRUM_THREADS", "0"}}).threads, 8);
  EXPECT_EQ(decide({{"FERRUM_KV_DTYPE", "f32"}}).kv_dtype, "fp32");
  EXPECT_EQ(decide({{"FERRUM_KV_DTYPE", "int8"}}).kv_dtype, "int8");
  EXPECT_EQ(decide({{"FERRUM_BLOCK_SIZE", "32"}}).kv_blocks, 1280);
  EXPECT_EQ(decide({{"FERRUM_KV_BLOCKS", "64"}, {"FERRUM_MAX_SEQS", "2"}}).kv_blocks, 64);
  EXPECT_EQ(decide({{"FERRUM_CONTEXT", "1000"}}).context_length, 1000);
  EXPECT_EQ(decide({{"FERRUM_KV_CAPACITY", "2000"}}).context_length, 2000);
  EXPECT_EQ(decide({{"FERRUM_KV_CAPACITY", "50000"}}).context_length, 40'960);  // at most the model's
  EXPECT_EQ(decide({{"FERRUM_MAX_WAITING", "0"}}).max_waiting, 0);
  EXPECT_EQ(decide({{"FERRUM_SWAP_SPACE", "7"}}).swap_space_mib, 7);
  EXPECT_EQ(decide({{"FERRUM_KV_MEMORY_FRACTION", "0.01"}}).kv_blocks, 134);
  EXPECT_EQ(decide({{"FERRUM_MAX_BATCHED_TOKENS", "100"}}).max_batched_tokens, 100);
  const RunConfig chunk = decide({{"FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "5"}});
  EXPECT_EQ(chunk.admission, AdmissionPolicy::kActiveDecodePrefillChunk);
  EXPECT_EQ(chunk.admission_value, 5);
  const RunConfig context = decide({{"FERRUM_CONTEXT", "1000", Source::kConfigFile}});
  EXPECT_EQ(context.find("context_length")->source, Source::kConfigFile);
  EXPECT_EQ(context.find("context_length")->source_key, "FERRUM_MAX_MODEL_LEN");
}

TEST(HostDecisions, OneKernelPerTypeOfWeights) {
  const RunConfig c = decide({});
  ASSERT_TRUE(c.cpu_profile.has_value());
  ASSERT_EQ(c.cpu_profile->kernels.size(), 4u);
  EXPECT_EQ(c.find("cpu_kernel_Q4_K")->selected, "int8_maddubs");
  EXPECT_EQ(c.find("cpu_kernel_Q4_K")->candidates, (std::vector<std::string>{"int8_maddubs", "int8_portable"}));
  EXPECT_EQ(c.find("cpu_kernel_F16")->selected, "f32_avx2");
  EXPECT_EQ(c.find("cpu_kernel_F64")->selected, "dequantise");
  EXPECT_EQ(decide({{"FERRUM_CPU_ISA", "baseline"}}).find("cpu_kernel_Q4_K")->selected, "int8_portable");
  EXPECT_EQ(resolve_cpu_profile("avx512", std::vector<std::string>{"IQ4_XS"}).kernels[0].dot, "int8_vnni");
}

TEST(Refusals, WhatThisBuildLacksIsNotIgnored) {
  for (const KeySpec& key : all_keys()) {
    if (key.part == Part::kCore || key.part == Part::kProfiler || key.part == Part::kMoe) continue;  // which it has
    SCOPED_TRACE(key.name);
    std::string value = key.type == KeyType::kChoice ? std::string(key.choices[0]) : "1";
    if (key.part == Part::kContiguousKv) value = "off";
    ResolverInput in = host_input();
    ASSERT_TRUE(in.settings.set(key.name, value, Source::kConfigFile).is_ok());
    const Result<RunConfig> config = resolve(in);
    expect_error(config, {std::string(key.name) + ": this build", "(config_file)", "no effect"});
    EXPECT_EQ(config.status().code(), StatusCode::kUnsupported);
    // What holds anyway is no error.
    const bool paged = key.part == Part::kContiguousKv;
    if (key.type != KeyType::kBool || (key.fallback == "true" && !paged)) continue;
    in = host_input();
    ASSERT_TRUE(in.settings.set(key.name, paged ? "on" : "off", Source::kConfigFile).is_ok());
    EXPECT_TRUE(resolve(in).is_ok()) << resolve(in).status().message();
  }
}

TEST(Refusals, ContradictionsNameBothSettingsAndBothSources) {
  expect_refused({{"FERRUM_MAX_SEQS", "32", Source::kConfigFile}, {"FERRUM_MAX_BATCHED_TOKENS", "16"}},
                 {"FERRUM_MAX_BATCHED_TOKENS=16 (env)", "FERRUM_PAGED_MAX_SEQS=32 (config_file)"});
  expect_refused({{"FERRUM_KV_MAX_BLOCKS", "40", Source::kCommandLine}, {"FERRUM_CONTEXT", "1024"}},
                 {"FERRUM_KV_MAX_BLOCKS=40 (cli)", "FERRUM_MAX_MODEL_LEN=1024 (env)"});
  expect_refused({{"FERRUM_KV_CAPACITY", "100", Source::kCommandLine}, {"FERRUM_CONTEXT", "1024"}},
                 {"FERRUM_KV_CAPACITY=100 (cli)", "FERRUM_MAX_MODEL_LEN=1024 (env)"});
  expect_refused({{"FERRUM_KV_MAX_BLOCKS", "100"}, {"FERRUM_KV_MEMORY_FRACTION", "0.2", Source::kConfigFile}},
                 {"FERRUM_KV_MEMORY_FRACTION=0.2 (config_file)", "FERRUM_KV_MAX_BLOCKS=100 (env)"});
  Settings two_names;
  ASSERT_TRUE(two_names.set("FERRUM_CONTEXT", "100", Source::kEnvironment).is_ok());
  const Status status = two_names.set("FERRUM_MAX_MODEL_LEN", "200", Source::kEnvironment);
  ASSERT_FALSE(status.is_ok());
  for (const char* part : {"FERRUM_CONTEXT=100", "FERRUM_MAX_MODEL_LEN=200", "env"}) {
    EXPECT_NE(status.message().find(part), std::string::npos) << status.message();
  }
}

TEST(Refusals, WhatTheMachineCannotDo) {
  expect_refused({{"FERRUM_CPU_ISA", "avx512"}}, {"FERRUM_CPU_ISA", "the best is avx2"});
  expect_refused({{"FERRUM_BACKEND", "cuda"}}, {"FERRUM_BACKEND", "no CUDA device was looked for"});
  expect_refused({{"FERRUM_DTYPE", "bf16"}}, {"FERRUM_DTYPE", "not supported"});
  expect_refused({{"FERRUM_KV_DTYPE", "fp8"}}, {"FERRUM_KV_DTYPE", "not supported"});
  expect_refused({{"FERRUM_KV_MAX_BLOCKS", "1000000"}},
                 {"FERRUM_KV_MAX_BLOCKS=1000000 (env)", "free beside the weights"});
  expect_refused({{"FERRUM_MAX_MODEL_LEN", "50000"}}, {"FERRUM_MAX_MODEL_LEN", "exceeds model metadata"});
  ResolverInput reference = host_input({{"FERRUM_THREADS", "4"}});
  reference.hardware = HardwareCapabilities::host_cpu("reference");
  expect_error(resolve(reference), {"FERRUM_THREADS=4 (env)", "one thread"});
}

// A device of 80 GiB in the machine of host_input().
CudaHost h100() {
  CudaHost cuda;
  cuda.reason = "";
  cuda.name = "NVIDIA H100";
  cuda.free_memory = 78 * kGiB;
  cuda.capabilities.backend = "cuda";
  cuda.capabilities.compute_capability = "9.0";
  cuda.capabilities.vram_bytes = 80 * kGiB;
  cuda.capabilities.supported_dtypes = {"fp32"};
  cuda.capabilities.supported_kv_dtypes = {"fp16", "bf16", "fp32", "int8"};
  return cuda;
}
ResolverInput device_input(const std::vector<Setting>& settings = {}) {
  ResolverInput in = host_input(settings);
  in.cuda = h100();
  in.hardware = in.cuda.capabilities;
  in.workload = WorkloadProfile::serving_default_for_hardware(in.hardware);
  EXPECT_TRUE(in.settings.set("FERRUM_BACKEND", "cuda", Source::kCommandLine).is_ok());
  return in;
}

TEST(DeviceDecisions, TheCpuIsTakenUnlessADeviceIsAskedForAndTheReasonIsSaid) {
  const auto on_cpu = [](const CudaHost& cuda, const std::vector<Setting>& settings) {
    ResolverInput in = host_input(settings);
    in.cuda = cuda;
    return resolve(in);
  };
  EXPECT_EQ(on_cpu(h100(), {})->backend, "cpu");
  EXPECT_EQ(reason_against(*on_cpu(h100(), {}), "backend", "cuda"),
            "its kernels are not proved on a GPU yet: only where asked for");
  EXPECT_EQ(reason_against(*on_cpu(h100(), {{"FERRUM_BACKEND", "cpu"}}), "backend", "cuda"),
            "another backend was asked for");
  CudaHost none;
  none.reason = "no CUDA device: the driver lists none; use backend 'cpu'";
  EXPECT_EQ(reason_against(*on_cpu(none, {}), "backend", "cuda"), none.reason);
  EXPECT_EQ(reason_against(*on_cpu(none, {{"FERRUM_BACKEND", "auto"}}), "backend", "cuda"), none.reason);
  expect_error(on_cpu(none, {{"FERRUM_BACKEND", "cuda"}}), {"FERRUM_BACKEND=cuda (env)", none.reason});
}

TEST(DeviceDecisions, AskedForItComputesInItsOwnMemory) {
  const RunConfig c = resolve(device_input()).value();
  EXPECT_EQ(c.backend, "cuda");
  EXPECT_EQ(c.find("backend")->selected, "cuda");
  EXPECT_EQ(c.find("backend")->source_key, "FERRUM_BACKEND");
  EXPECT_EQ(reason_against(c, "backend", "cpu"), "a GPU was asked for");
  EXPECT_EQ(c.dtype, "fp32");
  EXPECT_EQ(c.cpu_isa, "");
  EXPECT_FALSE(c.parity_gate);
  EXPECT_EQ(c.kv_blocks, kDefaultKvBlocks);
  EXPECT_EQ(c.max_sequences, 32);
  EXPECT_EQ(c.expert_cache_mib, std::nullopt);
  // Nothing is said of kernels that this engine does not have.
  EXPECT_EQ(c.gpu_profile, std::nullopt);
  EXPECT_EQ(c.find("q4k_kernel"), nullptr);

  // 1 GiB of weights and a reserve of 2 GiB leave 1 GiB of 4: 585 blocks of 1792 KiB. Host memory says nothing.
  ResolverInput small = device_input();
  small.cuda.free_memory = 4 * kGiB;
  small.host->free_memory = kGiB;
  EXPECT_EQ(resolve(small)->kv_blocks, 585);
  EXPECT_EQ(resolve(small)->find("kv_block_count")->source, Source::kHardwareCapability);

  ResolverInput one = device_input();
  one.workload = WorkloadProfile::single_user();
  EXPECT_EQ(resolve(one)->max_batched_tokens, 512);
}

TEST(DeviceDecisions, SettingsOfTheCpuBackendAreRefusedUnlessTheySayWhatIsSoAnyway) {
  for (const auto& [key, value] : {std::pair{"FERRUM_THREADS", "4"},
                                   {"FERRUM_MMAP_ONLY", "on"},
                                   {"FERRUM_BF16_PRODUCTS", "rounded"},
                                   {"FERRUM_PARITY_GATE", "on"},
                                   {"FERRUM_MOE_BATCHED", "on"},
                                   {"FERRUM_MOE_BATCH_THRESHOLD", "9"},
                                   {"FERRUM_EXPERT_CACHE", "5000"},
                                   {"FERRUM_DECODE_OP_PROFILE", "on"},
                                   {"FERRUM_PREFILL_OP_PROFILE", "on"},
                                   {"FERRUM_DECODE_LAYER_PROFILE", "on"},
                                   {"FERRUM_MOE_PROFILE", "on"},
                                   {"FERRUM_CPU_ISA", "avx2"},
                                   {"FERRUM_KV_MEMORY_FRACTION", "0.3"},
                                   {"FERRUM_DTYPE", "fp16"},
                                   {"FERRUM_KV_DTYPE", "fp8"}}) {
    ResolverInput in = device_input({{key, value}});
    in.model.moe = MoeCapabilities{128, 8, 768};
    expect_error(resolve(in), {std::string(key) + "=" + value + " (env)"});
  }
  for (const auto& [key, value] : {std::pair{"FERRUM_THREADS", "0"},
                                   {"FERRUM_MMAP_ONLY", "off"},
                                   {"FERRUM_BF16_PRODUCTS", "auto"},
                                   {"FERRUM_PARITY_GATE", "off"},
                                   {"FERRUM_DECODE_OP_PROFILE", "off"},
                                   {"FERRUM_CPU_ISA", "auto"},
                                   {"FERRUM_KV_DTYPE", "int8"}}) {
    const Result<RunConfig> c = resolve(device_input({{key, value}}));
    EXPECT_TRUE(c.is_ok()) << c.status().message();
  }
}

// GPU profile as decisions.
ResolverInput gpu_input(const char* capability, const std::vector<Setting>& settings) {
  ResolverInput in;
  in.hardware = HardwareCapabilities::rtx4090_cuda(CompiledKernelFeatures::m3_fast_path_without_fa2());
  in.hardware.compute_capability = capability;
  for (const Setting& s : settings) EXPECT_TRUE(in.settings.set(s.key, s.value, s.source).is_ok());
  return in;
}

TEST(GpuDecisions, FollowTheDeviceOrTheSwitch) {
  const RunConfig ada = resolve(gpu_input("8.9", {})).value();
  EXPECT_EQ(ada.find("q4k_kernel")->selected, "hw_dp4a");
  EXPECT_EQ(ada.find("q4k_kernel")->source, Source::kHardwareCapability);
  EXPECT_EQ(ada.find("fp8_prefill")->selected, "on");
  EXPECT_EQ(resolve(gpu_input("12.1", {})).value().find("q4k_kernel")->selected, "mwv");
  EXPECT_EQ(resolve(gpu_input("7.0", {})).value().find("q6k_kernel")->selected, "mwv");
  const RunConfig wide = resolve(gpu_input("8.9", {{"FERRUM_WIDE_Q4K", "1", Source::kCommandLine}})).value();
  EXPECT_EQ(wide.gpu_profile->q4k, Q4kVariant::kWide);
  EXPECT_EQ(wide.find("q4k_kernel")->source_key, "FERRUM_WIDE_Q4K");
  EXPECT_EQ(wide.find("q4k_kernel")->source, Source::kCommandLine);
  EXPECT_EQ(wide.find("fused_gate_up")->selected, "off");
  // Off is off: the presence of a variable says nothing.
  EXPECT_EQ(resolve(gpu_input("8.9", {{"FERRUM_MWV_Q4K", "0"}})).value().gpu_profile->q4k, Q4kVariant::kHwDp4a);
  EXPECT_EQ(resolve(gpu_input("8.9", {{"FERRUM_MWV_WARPS", "4"}})).value().gpu_profile->mwv_warps, 4);
}

TEST(GpuDecisions, ImpossibleKernelsAreRefused) {
  expect_error(resolve(gpu_input("8.9", {{"FERRUM_WIDE_Q4K", "1"}, {"FERRUM_MWV_Q4K", "1", Source::kConfigFile}})),
               {"FERRUM_WIDE_Q4K=1 (env)", "FERRUM_MWV_Q4K=1 (config_file)"});
  expect_error(resolve(gpu_input("6.1", {{"FERRUM_W4A16_INTERLEAVED", "1"}})), {"FERRUM_W4A16_INTERLEAVED", "7.0"});
  expect_error(resolve(gpu_input("8.9", {{"FERRUM_FUSED_GATE_UP", "1"}, {"FERRUM_WIDE_Q4K", "1"}})),
               {"FERRUM_FUSED_GATE_UP=1", "FERRUM_WIDE_Q4K=1"});
  ResolverInput cpu = host_input({{"FERRUM_DP4A_Q6K", "1"}});
  cpu.parts = EngineParts::all();
  expect_error(resolve(cpu), {"FERRUM_DP4A_Q6K", "none computes here"});
  expect_error(resolve(gpu_input("8.9", {{"FERRUM_CPU_ISA", "avx2"}})), {"FERRUM_CPU_ISA=avx2 (env)", "cpu"});
  ResolverInput graph = host_input({{"FERRUM_CUDA_GRAPH", "1"}});
  graph.parts = EngineParts::all();
  expect_error(resolve(graph), {"FERRUM_CUDA_GRAPH", "CUDA backend"});
}

// Start-up knobs of the mixture-of-experts dispatch (003).
MoeProfile moe_of(const std::vector<Setting>& settings) {
  Settings s;
  for (const Setting& e : settings) EXPECT_TRUE(s.set(e.key, e.value, e.source).is_ok()) << e.key;
  return resolve_moe_profile(s);
}

TEST(MoeKnobs, AreParsed) {
  const MoeProfile p = moe_of({{"FERRUM_MOE_PROFILE", "0"},
                               {"FERRUM_VLLM_MOE_ZERO_WS", "1"},
                               {"FERRUM_MOE_LOAD_TRACE", ""},
                               {"FERRUM_MOE_BLOCK_SIZE", "8"},
                               {"FERRUM_MOE_LARGE_M_BLOCK_SIZE", "64"},
                               {"FERRUM_MOE_LARGE_M_MIN_PAIRS", "2048"},
                               {"FERRUM_MOE_HOST_ROUTE", "1"}});
  EXPECT_FALSE(p.profile);     // the seed takes presence for on
  EXPECT_FALSE(p.load_trace);  // and an empty value, too
  EXPECT_TRUE(p.zero_workspace);
  EXPECT_EQ(p.blocks.block_size, 8);
  EXPECT_EQ(p.blocks.large_m_block_size, 64);
  EXPECT_EQ(p.blocks.large_m_min_pairs, 2048);
  EXPECT_TRUE(p.host_route);
}

TEST(MoeKnobs, OutOfRangeIsAnErrorAndUnsetIsTheDefault) {
  Settings s;
  EXPECT_FALSE(s.set("FERRUM_MOE_BLOCK_SIZE", "12", Source::kEnvironment).is_ok());
  EXPECT_FALSE(s.set("FERRUM_MOE_LARGE_M_BLOCK_SIZE", "128", Source::kEnvironment).is_ok());
  EXPECT_FALSE(s.set("FERRUM_MOE_LARGE_M_MIN_PAIRS", "bad", Source::kEnvironment).is_ok());
  EXPECT_TRUE(s.set("FERRUM_MOE_HOST_ROUTE", "0", Source::kEnvironment).is_ok());
  const MoeProfile p = resolve_moe_profile(s);
  EXPECT_EQ(p.blocks.block_size, std::nullopt);
  EXPECT_EQ(p.blocks.large_m_block_size, std::nullopt);
  EXPECT_EQ(p.blocks.large_m_min_pairs, 1024);
  EXPECT_FALSE(p.zero_workspace);
  EXPECT_FALSE(p.host_route);
}

// What the sizes do is tested beside moe_block_size().
TEST(MoeKnobs, DecideTheBlocksOfABatch) {
  const MoeProfile large = moe_of({{"FERRUM_MOE_LARGE_M_BLOCK_SIZE", "64"}, {"FERRUM_MOE_LARGE_M_MIN_PAIRS", "1024"}});
  EXPECT_EQ(moe_block_size(large.blocks, {}, true, 256), 16);
  EXPECT_EQ(moe_block_size(large.blocks, {}, true, 1024), 64);
  const MoeProfile all = moe_of({{"FERRUM_MOE_BLOCK_SIZE", "32"}, {"FERRUM_MOE_LARGE_M_BLOCK_SIZE", "64"}});
  EXPECT_EQ(moe_block_size(all.blocks, {}, true, 2048), 32);
}

ResolverInput moe_input(const std::vector<Setting>& settings) {
  ResolverInput in = host_input(settings);
  in.model.moe = MoeCapabilities{128, 8, 768};
  in.model.num_hidden_layers = 48;
  return in;
}

TEST(MoeKnobs, DecideFromHowManyRowsExpertsGather) {
  EXPECT_EQ(resolve(moe_input({}))->find("expert_rows")->selected, "gathered_from_4");
  EXPECT_EQ(resolve(moe_input({{"FERRUM_MOE_BATCH_THRESHOLD", "9"}}))->find("expert_rows")->selected,
            "gathered_from_9");
  const auto never = resolve(moe_input({{"FERRUM_MOE_BATCHED", "0"}}));
  EXPECT_EQ(never->find("expert_rows")->selected, "one_by_one");
  EXPECT_EQ(never->find("expert_rows")->source_key, "FERRUM_MOE_BATCHED");
  EXPECT_EQ(resolve(host_input({}))->find("expert_rows"), nullptr);
  expect_error(resolve(moe_input({{"FERRUM_MOE_BATCHED", "0"}, {"FERRUM_MOE_BATCH_THRESHOLD", "9"}})),
               {"FERRUM_MOE_BATCH_THRESHOLD", "never gathered", "FERRUM_MOE_BATCHED=0"});
}

TEST(MoeKnobs, TimeExpertsWithEverythingElse) {
  const auto config = resolve(moe_input({{"FERRUM_MOE_PROFILE", "1"}}));
  EXPECT_TRUE(config->decode_op_profile && config->prefill_op_profile);
  EXPECT_FALSE(resolve(moe_input({{"FERRUM_MOE_PROFILE", "0"}}))->decode_op_profile);
}

// 24 GiB are free. All experts stay while they take no more than seven eighths of what the other weights leave.
TEST(MoeKnobs, ExpertsThatDoNotFitGetSevenEighthsOfWhatIsLeft) {
  const auto model = [](int64_t weights_gib, int64_t experts_gib, const std::vector<Setting>& settings = {}) {
    ResolverInput in = moe_input(settings);
    in.model.estimated_weight_bytes = weights_gib * kGiB;
    in.model.moe->expert_bytes = experts_gib * kGiB;
    return resolve(in);
  };
  EXPECT_EQ(model(18, 16)->expert_cache_mib, std::nullopt);
  EXPECT_EQ(model(18, 16)->find("expert_memory")->selected, "all");
  EXPECT_EQ(model(23, 19)->expert_cache_mib, 20 * 1024 / 8 * 7);
  const auto large = model(102, 100);
  EXPECT_EQ(large->expert_cache_mib, 22 * 1024 / 8 * 7);
  EXPECT_EQ(large->find("expert_memory")->selected, "19712_mib");
  // Half of the rest is for KV: 1.375 GiB in blocks of 16 tokens with 192 KiB each.
  EXPECT_EQ(large->kv_blocks, 22 * kGiB / 16 / (16 * 192 * 1024));
  EXPECT_EQ(model(102, 100, {{"FERRUM_EXPERT_CACHE", "5000"}})->expert_cache_mib, 5000);
  EXPECT_EQ(model(18, 16, {{"FERRUM_EXPERT_CACHE", "17000"}})->expert_cache_mib, std::nullopt) << "more than all";
  EXPECT_EQ(model(18, 16, {{"FERRUM_MMAP_ONLY", "1"}})->expert_cache_mib, std::nullopt);
  expect_error(model(18, 16, {{"FERRUM_EXPERT_CACHE", "5000"}, {"FERRUM_MMAP_ONLY", "1"}}),
               {"FERRUM_EXPERT_CACHE", "mapped", "FERRUM_MMAP_ONLY=1"});
  expect_error(model(40, 10), {"memory"});
}

TEST(MoeKnobs, AreRefusedForADenseModel) {
  for (const char* key : {"FERRUM_MOE_BATCHED", "FERRUM_MOE_PROFILE", "FERRUM_MOE_LOAD_TRACE", "FERRUM_EXPERT_CACHE"}) {
    ResolverInput dense = host_input({{key, "1"}});
    dense.model.moe.reset();
    dense.model.num_hidden_layers = 28;
    expect_error(resolve(dense), {key, "no experts"});
  }
}

}  // namespace
}  // namespace ferrum
