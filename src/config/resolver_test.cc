// The acceptance list of the configuration resolver. Each test names the behaviour of the seed (auto_config.rs) that it
// is the counterpart of; docs/configuration-acceptance.md maps them.
#include "config/resolver.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <sstream>

namespace ferrum {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

struct Setting {
  const char* key;
  const char* value;
  Source source = Source::kEnvironment;
};

// The input of the preset on the given hardware; kInvalidArgument if a setting itself is refused.
Result<RunConfig> resolve_m3(const std::vector<Setting>& settings, const HardwareCapabilities& hardware,
                             const ModelCapabilities& model = ModelCapabilities::qwen3_30b_a3b_gptq_int4()) {
  ResolverInput input{{}, model, hardware, WorkloadProfile::m3_qwen3_30b_a3b_int4()};
  for (const Setting& s : settings) FERRUM_RETURN_IF_ERROR(input.settings.set(s.key, s.value, s.source));
  return resolve(input);
}

HardwareCapabilities rtx4090() {
  return HardwareCapabilities::rtx4090_cuda(CompiledKernelFeatures::m3_fast_path_without_fa2());
}
HardwareCapabilities rtx4090_with_fa2() {
  return HardwareCapabilities::rtx4090_cuda(CompiledKernelFeatures::m3_fast_path_with_source_fa2());
}
HardwareCapabilities cpu_with_every_feature() {
  HardwareCapabilities h;
  h.backend = "cpu";
  h.supported_dtypes = {"fp32"};
  h.compiled_features = CompiledKernelFeatures::m3_fast_path_with_source_fa2();
  return h;
}

std::string selected(const RunConfig& config, std::string_view selection) {
  const Decision* d = config.find(selection);
  return d == nullptr ? "(not decided)" : d->selected;
}

void expect_refused(const std::vector<Setting>& settings, const std::string& key,
                    const HardwareCapabilities& hardware = rtx4090()) {
  const auto config = resolve_m3(settings, hardware);
  ASSERT_FALSE(config.is_ok()) << key;
  EXPECT_NE(config.status().message().find(key), std::string::npos) << config.status().message();
  EXPECT_EQ(config.status().code(), StatusCode::kInvalidArgument);
}

TEST(Resolver, PresetSelectsTheFastPathWithoutFa2) {
  const RunConfig c = resolve_m3({}, rtx4090()).value();
  EXPECT_EQ(selected(c, "attention_prefill_mixed_backend"), "vllm_paged_varlen");
  EXPECT_EQ(selected(c, "attention_decode_backend"), "vllm_paged_attn_v1_short");
  EXPECT_EQ(selected(c, "moe_implementation"), "vllm_marlin_moe_device_route_pair_ids");
  EXPECT_EQ(selected(c, "moe_graph_policy"), "graph_disabled");
  EXPECT_EQ(selected(c, "prefix_cache_policy"), "prefix_cache_disabled");
  EXPECT_EQ(selected(c, "sampling_readback_path"), "gpu_greedy_argmax");
}

TEST(Resolver, SourceFa2IsTakenWhereItIsCompiled) {
  const RunConfig c = resolve_m3({{"FERRUM_FA2_SOURCE", "1"}}, rtx4090_with_fa2()).value();
  EXPECT_EQ(selected(c, "attention_prefill_mixed_backend"), "fa2_source");
  EXPECT_EQ(c.attention_prefill, AttentionPrefill::kFa2Source);
}

TEST(Resolver, SourceFa2IsRefusedWhereItIsNot) { expect_refused({{"FERRUM_FA2_SOURCE", "1"}}, "FERRUM_FA2_SOURCE"); }

TEST(Resolver, PresetStaysOnPathsTheHardwareHas) {
  const RunConfig c = resolve_m3({}, cpu_with_every_feature()).value();
  EXPECT_EQ(selected(c, "attention_prefill_mixed_backend"), "legacy_paged_varlen");
  EXPECT_EQ(selected(c, "attention_decode_backend"), "legacy_paged_decode");
  EXPECT_EQ(selected(c, "moe_implementation"), "legacy_moe");
  EXPECT_EQ(selected(c, "moe_graph_policy"), "graph_disabled");
  EXPECT_EQ(selected(c, "sampling_readback_path"), "logits_readback");
}

TEST(Resolver, OverridesTheHardwareCannotDoAreRefused) {
  const HardwareCapabilities cpu = cpu_with_every_feature();
  for (const char* key :
       {"FERRUM_USE_VLLM_PAGED_ATTN", "FERRUM_VLLM_MOE", "FERRUM_GREEDY_ARGMAX", "FERRUM_FA2_SOURCE"}) {
    expect_refused({{key, "1"}}, key, cpu);
  }
  HardwareCapabilities turing = rtx4090_with_fa2();
  turing.compute_capability = "7.5";
  expect_refused({{"FERRUM_FA2_SOURCE", "1"}}, "FERRUM_FA2_SOURCE", turing);
}

TEST(Resolver, SmCountSizesSequencesUnlessTheUserDid) {
  HardwareCapabilities small = rtx4090();
  small.sm_count = 16;
  const RunConfig c = resolve_m3({}, small).value();
  EXPECT_EQ(c.max_sequences, 4);
  EXPECT_EQ(c.find("max_sequences")->source, Source::kHardwareCapability);
  EXPECT_EQ(c.max_batched_tokens, 256);
  EXPECT_EQ(c.find("max_batched_tokens")->source, Source::kHardwareCapability);

  const RunConfig own = resolve_m3({{"FERRUM_PAGED_MAX_SEQS", "16"}}, small).value();
  EXPECT_EQ(own.max_sequences, 16);
  EXPECT_EQ(own.find("max_sequences")->source, Source::kEnvironment);
  EXPECT_EQ(own.find("max_sequences")->source_key, "FERRUM_PAGED_MAX_SEQS");
}

TEST(Resolver, VramCapsSequencesOfThePreset) {
  HardwareCapabilities low = rtx4090();
  low.vram_bytes = 7 * kGiB;
  const RunConfig c = resolve_m3({}, low).value();
  EXPECT_EQ(c.max_sequences, 4);
  EXPECT_EQ(c.find("max_sequences")->source, Source::kHardwareCapability);
}

TEST(Resolver, MemoryBudgetGives2048BlocksOn24GiBAnd2On20GiB) {
  const RunConfig c = resolve_m3({}, rtx4090()).value();
  EXPECT_EQ(c.kv_blocks, 2048);
  EXPECT_EQ(c.find("kv_block_count")->source, Source::kWorkloadPreset);

  HardwareCapabilities constrained = rtx4090();
  constrained.vram_bytes = 20 * kGiB;
  const RunConfig tight = resolve_m3({}, constrained).value();
  EXPECT_EQ(tight.kv_blocks, 2);
  EXPECT_EQ(tight.find("kv_block_count")->source, Source::kHardwareCapability);
  EXPECT_EQ(tight.max_batched_tokens, 32);
  EXPECT_EQ(tight.find("max_batched_tokens")->source, Source::kHardwareCapability);
}

TEST(Capabilities, ComputeCapabilityIsMajorMinorOrMajor) {
  EXPECT_EQ(parse_compute_capability("8.9"), std::pair(8, 9));
  EXPECT_EQ(parse_compute_capability("9"), std::pair(9, 0));
  for (const char* bad : {"N/A", "", "8.", ".9", "8.x", "-1.0"}) {
    EXPECT_FALSE(parse_compute_capability(bad).has_value()) << bad;
  }
}

TEST(Capabilities, VramTiers) {
  EXPECT_EQ(vram_default_max_sequences(24 * kGiB), 32);
  EXPECT_EQ(vram_default_max_sequences(16 * kGiB), 16);
  EXPECT_EQ(vram_default_max_sequences(8 * kGiB), 8);
  EXPECT_EQ(vram_default_max_sequences(6 * kGiB), 4);
  for (int64_t gib = 1; gib < 64; ++gib) {
    EXPECT_LE(vram_default_max_sequences(gib * kGiB), vram_default_max_sequences((gib + 1) * kGiB));
  }
}

TEST(Resolver, AcceleratorServingTakesItsConcurrencyFromTheHardware) {
  const HardwareCapabilities hardware = rtx4090();
  const WorkloadProfile workload = WorkloadProfile::serving_default_for_hardware(hardware);
  EXPECT_EQ(workload.target_concurrency, 32);
  EXPECT_EQ(resolve({{}, {}, hardware, workload}).value().max_sequences, 32);
}

TEST(Resolver, CpuServingDefaultKeepsOneSequence) {
  EXPECT_EQ(WorkloadProfile::serving_default_for_hardware(cpu_with_every_feature()).target_concurrency, 1);
}

TEST(Resolver, RefusalsNameTheKey) {
  expect_refused({{"FERRUM_USE_VLLM_PAGED_ATTN", "maybe"}}, "FERRUM_USE_VLLM_PAGED_ATTN");
  expect_refused({{"FERRUM_PREFIX_CACHE", "maybe"}}, "FERRUM_PREFIX_CACHE");
  expect_refused({{"FERRUM_FA_LAYOUT_VARLEN", "1"}, {"FERRUM_USE_VLLM_PAGED_ATTN", "0"}}, "FERRUM_FA_LAYOUT_VARLEN");
  expect_refused({{"FERRUM_FA2_DIRECT_FFI", "1"}}, "FERRUM_FA2_DIRECT_FFI");
  expect_refused({{"FERRUM_VLLM_MOE", "1"}}, "FERRUM_VLLM_MOE", HardwareCapabilities::rtx4090_cuda({}));
  expect_refused({{"FERRUM_MOE_DEVICE_ROUTE", "1"}, {"FERRUM_VLLM_MOE", "0"}}, "FERRUM_MOE_DEVICE_ROUTE");
  expect_refused({{"FERRUM_VLLM_MOE_PAIR_IDS", "1"}, {"FERRUM_VLLM_MOE", "0"}}, "FERRUM_VLLM_MOE_PAIR_IDS");
  expect_refused({{"FERRUM_MOE_GRAPH", "1"}, {"FERRUM_VLLM_MOE", "0"}}, "FERRUM_MOE_GRAPH");
  expect_refused({{"FERRUM_KV_MAX_BLOCKS", "0"}}, "FERRUM_KV_MAX_BLOCKS");
  expect_refused({{"FERRUM_PAGED_MAX_SEQS", "0"}}, "FERRUM_PAGED_MAX_SEQS");
  expect_refused({{"FERRUM_PAGED_MAX_SEQS", "32"}, {"FERRUM_MAX_BATCHED_TOKENS", "16"}}, "FERRUM_MAX_BATCHED_TOKENS");
  expect_refused({{"FERRUM_KV_MAX_BLOCKS", "16"}, {"FERRUM_MAX_BATCHED_TOKENS", "512"}}, "FERRUM_MAX_BATCHED_TOKENS");
  expect_refused({{"FERRUM_MAX_MODEL_LEN", "0"}}, "FERRUM_MAX_MODEL_LEN");
  expect_refused({{"FERRUM_MAX_MODEL_LEN", "50000"}}, "FERRUM_MAX_MODEL_LEN");
  expect_refused({{"FERRUM_KV_MAX_BLOCKS", "16"}, {"FERRUM_MAX_MODEL_LEN", "1024"}}, "FERRUM_KV_MAX_BLOCKS");
  expect_refused({{"FERRUM_DTYPE", "bf16"}}, "FERRUM_DTYPE");
  expect_refused({{"FERRUM_KV_DTYPE", "fp8"}}, "FERRUM_KV_DTYPE");
  expect_refused({{"FERRUM_VLLM_PAGED_ATTN_V1_SHORT", "1"}, {"FERRUM_USE_VLLM_PAGED_ATTN", "0"}},
                 "FERRUM_VLLM_PAGED_ATTN_V1_SHORT");
}

TEST(Resolver, MaxModelLenIsDecidedOnlyWhenAsked) {
  EXPECT_EQ(resolve_m3({}, rtx4090()).value().find("max_model_len"), nullptr);
  const RunConfig c = resolve_m3({{"FERRUM_KV_MAX_BLOCKS", "64"}, {"FERRUM_MAX_MODEL_LEN", "1024"}}, rtx4090()).value();
  EXPECT_EQ(selected(c, "max_model_len"), "1024");
  EXPECT_EQ(c.find("max_model_len")->source_key, "FERRUM_MAX_MODEL_LEN");
}

TEST(Resolver, GraphWithAnUnsafeMoeModelIsRefused) {
  const auto c = resolve_m3({{"FERRUM_MOE_GRAPH", "1"}}, rtx4090());
  ASSERT_FALSE(c.is_ok());
  EXPECT_EQ(c.status().message().rfind("moe_graph_policy: unsupported combination", 0), 0u) << c.status().message();

  ModelCapabilities safe = ModelCapabilities::qwen3_30b_a3b_gptq_int4();
  safe.graph_safe_moe = true;
  EXPECT_EQ(selected(resolve_m3({{"FERRUM_MOE_GRAPH", "1"}}, rtx4090(), safe).value(), "moe_graph_policy"),
            "graph_clean_decode");
}

TEST(Resolver, AdmissionPolicyFollowsItsKey) {
  const RunConfig chunk = resolve_m3({{"FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "64"}}, rtx4090()).value();
  EXPECT_EQ(selected(chunk, "scheduler_admission_policy"), "active_decode_prefill_chunk:64");
  EXPECT_EQ(chunk.find("scheduler_admission_policy")->source_key, "FERRUM_ACTIVE_DECODE_PREFILL_CHUNK");
  EXPECT_EQ(chunk.admission_value, 64);
  EXPECT_EQ(selected(resolve_m3({{"FERRUM_SCHED_PROMPT_TOKEN_ESTIMATE", "on"}}, rtx4090()).value(),
                     "scheduler_admission_policy"),
            "prompt_token_estimate");
  const auto zero = resolve_m3({{"FERRUM_ACTIVE_DECODE_PREFILL_CHUNK", "0"}}, rtx4090());
  ASSERT_FALSE(zero.is_ok());
  EXPECT_NE(zero.status().message().find("scheduler_admission_policy"), std::string::npos);
}

TEST(Resolver, OrderOfRequestsFollowsItsKeyAndAgeingNeedsOneThatLooksAtPriorities) {
  EXPECT_EQ(selected(resolve_m3({}, rtx4090()).value(), "queue_policy"), "fcfs");
  const RunConfig fair =
      resolve_m3({{"FERRUM_SCHED_POLICY", "fair"}, {"FERRUM_SCHED_AGEING_SECONDS", "5"}}, rtx4090()).value();
  EXPECT_EQ(selected(fair, "queue_policy"), "fair");
  EXPECT_EQ(selected(fair, "priority_ageing_seconds"), "5");
  EXPECT_EQ(fair.ageing_seconds, 5);
  const auto idle = resolve_m3({{"FERRUM_SCHED_AGEING_SECONDS", "5"}}, rtx4090());
  ASSERT_FALSE(idle.is_ok());
  EXPECT_NE(idle.status().message().find("FERRUM_SCHED_AGEING_SECONDS"), std::string::npos);
}

TEST(Resolver, SpeculationFollowsItsKeysAndABoundThatIsNotSetGivesWay) {
  const RunConfig plain = resolve_m3({}, rtx4090()).value();
  EXPECT_EQ(selected(plain, "speculation"), "off");
  EXPECT_EQ(selected(plain, "speculation_max_draft"), "8");
  EXPECT_EQ(selected(plain, "speculation_ngram"), "2..5");
  const RunConfig on = resolve_m3({{"FERRUM_SPECULATION", "ngram"}}, rtx4090()).value();
  EXPECT_EQ(selected(on, "speculation"), "ngram");
  EXPECT_EQ(on.find("speculation")->source_key, "FERRUM_SPECULATION");
  const auto no_model = resolve_m3({{"FERRUM_SPECULATION", "draft"}}, rtx4090());
  ASSERT_FALSE(no_model.is_ok());
  EXPECT_NE(no_model.status().message().find("FERRUM_DRAFT_MODEL"), std::string::npos) << no_model.status().message();
  const RunConfig drafted = resolve_m3({{"FERRUM_DRAFT_MODEL", "small.gguf"}}, rtx4090()).value();
  EXPECT_EQ(selected(drafted, "speculation"), "both");
  EXPECT_EQ(selected(drafted, "draft_model"), "small.gguf");
  EXPECT_EQ(drafted.draft_model, "small.gguf");
  const auto sizes = [](const char* key, const char* value) {
    return selected(resolve_m3({{key, value}}, rtx4090()).value(), "speculation_ngram");
  };
  EXPECT_EQ(sizes("FERRUM_SPECULATION_NGRAM_MIN", "9"), "9..9");
  EXPECT_EQ(sizes("FERRUM_SPECULATION_NGRAM_MAX", "1"), "1..1");
  const auto crossed =
      resolve_m3({{"FERRUM_SPECULATION_NGRAM_MIN", "4"}, {"FERRUM_SPECULATION_NGRAM_MAX", "3"}}, rtx4090());
  ASSERT_FALSE(crossed.is_ok());
  EXPECT_NE(crossed.status().message().find("FERRUM_SPECULATION_NGRAM_MAX=3"), std::string::npos);
}

TEST(Resolver, PrefixCacheFollowsItsKey) {
  const RunConfig c = resolve_m3({{"FERRUM_PREFIX_CACHE", "1"}}, rtx4090()).value();
  EXPECT_EQ(selected(c, "prefix_cache_policy"), "prefix_cache_enabled");
  EXPECT_EQ(c.find("prefix_cache_policy")->source_key, "FERRUM_PREFIX_CACHE");
  EXPECT_FALSE(resolve_m3({}, rtx4090())->prefix_cache) << "its preset";
}

TEST(Resolver, EverySourceTravelsWithItsValue) {
  const RunConfig c = resolve_m3({{"FERRUM_FA_LAYOUT_VARLEN", "1", Source::kConfigFile},
                                  {"FERRUM_PAGED_MAX_SEQS", "48", Source::kCommandLine},
                                  {"FERRUM_SCHED_PREFILL_FIRST_UNTIL_ACTIVE", "32", Source::kScriptCase}},
                                 rtx4090())
                          .value();
  const Decision* attention = c.find("attention_prefill_mixed_backend");
  EXPECT_EQ(attention->selected, "fa_layout_varlen");
  EXPECT_EQ(attention->source, Source::kConfigFile);
  EXPECT_EQ(attention->source_key, "FERRUM_FA_LAYOUT_VARLEN");
  EXPECT_EQ(selected(c, "max_sequences"), "48");
  EXPECT_EQ(c.find("max_sequences")->source, Source::kCommandLine);
  const Decision* scheduler = c.find("scheduler_admission_policy");
  EXPECT_EQ(scheduler->selected, "prefill_first_until_active:32");
  EXPECT_EQ(scheduler->source, Source::kScriptCase);
}

TEST(Document, HasTheSchemaOfTheSeeds) {
  ResolverInput input{
      {}, ModelCapabilities::qwen3_30b_a3b_gptq_int4(), rtx4090(), WorkloadProfile::m3_qwen3_30b_a3b_int4()};
  ASSERT_TRUE(input.settings.set("FERRUM_PAGED_MAX_SEQS", "32", Source::kCommandLine).is_ok());
  ASSERT_TRUE(input.settings.set("FERRUM_FA_LAYOUT_VARLEN", "1", Source::kScriptCase).is_ok());
  const RunConfig config = resolve(input).value();
  const auto doc = effective_config_document(input, config);

  std::vector<std::string> keys;
  for (const auto& item : doc.items()) keys.push_back(item.key());
  EXPECT_EQ(keys, (std::vector<std::string>{"schema_version", "preset", "env_hash", "entries", "model_capabilities",
                                            "hardware_capabilities", "workload_profile", "decisions"}));
  EXPECT_EQ(
      doc["entries"].dump(),
      R"([{"key":"FERRUM_FA_LAYOUT_VARLEN","effective_value":"1","source":"script_case",)"
      R"("affects":["performance","memory"]},)"
      R"({"key":"FERRUM_PAGED_MAX_SEQS","effective_value":"32","source":"cli","affects":["performance","memory"]}])");
  EXPECT_EQ(doc["model_capabilities"]["quantization"], "gptq_int4");
  EXPECT_EQ(doc["model_capabilities"]["moe"]["experts_per_token"], 8);
  EXPECT_EQ(doc["hardware_capabilities"]["compute_capability"], "8.9");
  EXPECT_EQ(doc["hardware_capabilities"]["compiled_features"]["vllm_moe_marlin"], true);
  EXPECT_EQ(doc["workload_profile"]["target_concurrency"], 32);
  EXPECT_EQ(doc["workload_profile"]["priority"], "throughput");

  std::istringstream trace(decision_trace_jsonl(config));
  std::string line;
  size_t lines = 0;
  while (std::getline(trace, line)) EXPECT_EQ(nlohmann::ordered_json::parse(line), doc["decisions"][lines++]);
  EXPECT_EQ(lines, config.decisions.size());
  for (const Decision& d : config.decisions) {
    EXPECT_FALSE(d.candidates.empty()) << d.selection;
    EXPECT_FALSE(d.affects.empty()) << d.selection;
    for (const RejectedCandidate& r : d.rejected) {
      EXPECT_NE(r.value, d.selected);
      EXPECT_FALSE(r.reason.empty());
    }
  }
}

// sha256 of "[]", computed with coreutils' sha256sum.
TEST(Document, HashOfNoSettings) {
  EXPECT_EQ(settings_hash(Settings()), "sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945");
}

}  // namespace
}  // namespace ferrum
