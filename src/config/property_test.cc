// Random settings, models and machines: the resolver gives a configuration that keeps every invariant, or an error that
// names a setting which was set. Never a crash, the same every time, whatever the order of the sources.
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <random>

#include "config/resolver.h"

namespace ferrum {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

struct Setting {
  std::string key, value;
  Source source;
};

class Generator {
 public:
  explicit Generator(uint64_t seed) : rng_(seed) {}

  int64_t pick(int64_t n) { return static_cast<int64_t>(rng_() % static_cast<uint64_t>(n)); }
  bool chance(int percent) { return pick(100) < percent; }

  std::string value_of(const KeySpec& key) {
    static const char* const kWords[] = {"1", "0", "on", "off", "TRUE", "no"};
    if (chance(1)) return "nonsense";
    switch (key.type) {
      case KeyType::kBool: return kWords[pick(6)];
      case KeyType::kInt: {
        const auto low = static_cast<int64_t>(key.low), high = static_cast<int64_t>(key.high);
        const int64_t span = std::min<int64_t>(high - low, int64_t{1} << (2 + pick(16)));
        return std::to_string(low + pick(span + 1));
      }
      case KeyType::kFloat: return std::to_string(key.low + (key.high - key.low) * static_cast<double>(pick(11)) / 10);
      case KeyType::kChoice:
        return std::string(key.choices[static_cast<size_t>(pick(static_cast<int64_t>(key.choices.size())))]);
      case KeyType::kText:
      case KeyType::kList: return "/some/where";
    }
    return "";
  }

  std::vector<Setting> settings() {
    static constexpr Source kSources[] = {Source::kMemoryProfile, Source::kConfigFile, Source::kScriptCase,
                                          Source::kEnvironment, Source::kCommandLine};
    std::vector<Setting> list;
    const int64_t count = pick(9);
    for (int64_t i = 0; i < count; ++i) {
      const KeySpec& key = all_keys()[static_cast<size_t>(pick(static_cast<int64_t>(all_keys().size())))];
      const Source source = kSources[pick(5)];
      const bool twice = std::any_of(list.begin(), list.end(),
                                     [&](const Setting& s) { return s.key == key.name && s.source == source; });
      if (!twice) list.push_back({std::string(key.name), value_of(key), source});
    }
    return list;
  }

  ResolverInput surroundings() {
    ResolverInput in;
    if (chance(50)) in.model = ModelCapabilities::qwen3_30b_a3b_gptq_int4();
    if (chance(30)) in.model.max_context_len = 1 + pick(100'000);
    if (chance(20)) in.model.moe.reset();
    if (chance(20)) in.model.graph_safe_moe = true;
    in.model.weight_types = {"Q4_K", "F32"};
    if (chance(50)) {
      in.hardware =
          HardwareCapabilities::rtx4090_cuda(chance(50) ? CompiledKernelFeatures::m3_fast_path_with_source_fa2()
                                                        : CompiledKernelFeatures::m3_fast_path_without_fa2());
      static const char* const kCapabilities[] = {"6.1", "7.0", "7.5", "8.0", "8.9", "9.0", "12.1", "N/A"};
      in.hardware.compute_capability = kCapabilities[pick(8)];
      in.hardware.vram_bytes = pick(48) * kGiB;
      in.hardware.sm_count = pick(200);
      in.workload = chance(50) ? WorkloadProfile::m3_qwen3_30b_a3b_int4()
                               : WorkloadProfile::serving_default_for_hardware(in.hardware);
    } else {
      in.hardware = HardwareCapabilities::host_cpu(chance(80) ? "cpu" : "reference");
      in.model.estimated_weight_bytes = pick(8) * kGiB;
      in.host = CpuHost{{"baseline", "avx2"}, 1 + pick(64), (9 + pick(64)) * kGiB};
      in.workload = chance(50) ? WorkloadProfile::cpu_serving(*in.host) : WorkloadProfile::single_user();
      if (chance(50)) in.parts = EngineParts::this_build();
    }
    return in;
  }

  template <typename T>
  void shuffle(std::vector<T>& list) {
    std::shuffle(list.begin(), list.end(), rng_);
  }

 private:
  std::mt19937_64 rng_;
};

struct Outcome {
  Status status;
  std::string document;
};

Outcome resolve_all(const std::vector<Setting>& settings, ResolverInput in, RunConfig& config) {
  // Every setting is tried, so that the outcome does not depend on which bad one comes first.
  Status bad;
  std::pair<std::string, Source> first_bad;
  for (const Setting& s : settings) {
    const Status status = in.settings.set(s.key, s.value, s.source);
    if (!status.is_ok() && (bad.is_ok() || std::pair(s.key, s.source) < first_bad)) {
      bad = status;
      first_bad = {s.key, s.source};
    }
  }
  if (!bad.is_ok()) return {bad, ""};
  Result<RunConfig> result = resolve(in);
  if (!result.is_ok()) return {result.status(), ""};
  config = *result;
  return {Status::ok(), effective_config_document(in, config).dump()};
}

void check_invariants(const ResolverInput& in, const RunConfig& c) {
  const int64_t tokens = c.kv_blocks * c.block_size;
  EXPECT_GE(c.kv_blocks, 1);
  EXPECT_GE(c.max_sequences, 1);
  EXPECT_GE(c.max_batched_tokens, c.max_sequences);
  EXPECT_LE(c.max_batched_tokens, tokens);
  EXPECT_LE(tokens, INT32_MAX);
  if (c.max_model_len) {
    EXPECT_LE(*c.max_model_len, tokens);
    if (in.model.max_context_len) {
      EXPECT_LE(*c.max_model_len, *in.model.max_context_len);
    }
  }
  EXPECT_LE(c.context_length, tokens);
  if (in.model.max_context_len) {
    EXPECT_GE(c.context_length, 1);
    EXPECT_LE(c.context_length, *in.model.max_context_len);
  }
  if (c.backend != "cuda") {
    EXPECT_EQ(c.attention_prefill, AttentionPrefill::kLegacyPagedVarlen);
    EXPECT_EQ(c.moe, MoeImplementation::kLegacy);
    EXPECT_FALSE(c.device_argmax);
    EXPECT_FALSE(c.cuda_graph);
  }
  std::vector<std::string> selections;
  for (const Decision& d : c.decisions) {
    selections.push_back(d.selection);
    EXPECT_FALSE(d.affects.empty()) << d.selection;
    const bool named = std::any_of(d.candidates.begin(), d.candidates.end(), [&](const std::string& candidate) {
      return d.selected == candidate || d.selected.starts_with(candidate + ":");  // with its number
    });
    EXPECT_TRUE(named) << d.selection << " selected " << d.selected;
    for (const RejectedCandidate& r : d.rejected) {
      EXPECT_NE(r.value, d.selected) << d.selection;
      EXPECT_FALSE(r.reason.empty()) << d.selection << " " << r.value;
    }
    if (d.source_key) {
      EXPECT_NE(find_key(*d.source_key), nullptr);
    }
  }
  std::sort(selections.begin(), selections.end());
  EXPECT_EQ(std::adjacent_find(selections.begin(), selections.end()), selections.end()) << "decided twice";
}

TEST(ResolverProperty, ValidOrAnErrorThatNamesASettingOver10000RandomInputs) {
  int valid = 0, refused = 0;
  for (uint64_t seed = 0; seed < 10'000 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Generator generate(seed);
    const ResolverInput surroundings = generate.surroundings();
    std::vector<Setting> settings = generate.settings();
    RunConfig config, again;
    const Outcome outcome = resolve_all(settings, surroundings, config);
    generate.shuffle(settings);
    const Outcome repeated = resolve_all(settings, surroundings, again);
    ASSERT_EQ(outcome.status.message(), repeated.status.message());
    ASSERT_EQ(outcome.document, repeated.document);
    if (outcome.status.is_ok()) {
      ++valid;
      check_invariants(surroundings, config);
      continue;
    }
    ++refused;
    const bool names_one = std::any_of(settings.begin(), settings.end(), [&](const Setting& s) {
      const std::string& m = outcome.status.message();
      const KeySpec& key = *find_key(s.key);
      return m.find(s.key) != std::string::npos || m.find(key.flag) != std::string::npos ||
             m.find(key.toml) != std::string::npos;
    });
    EXPECT_TRUE(names_one) << outcome.status.message();
  }
  EXPECT_GT(valid, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace ferrum
