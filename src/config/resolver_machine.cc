#include "config/resolver_machine.h"

#include <algorithm>
#include <limits>

#include "config/kernel_decisions.h"
#include "config/parse.h"

namespace ferrum {
namespace {

bool contains(const std::vector<std::string>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

// Of what the other weights leave free, for experts; the rest is for KV, activations and pages on their way from the
// disk.
constexpr int64_t kExpertEighths = 7;

int64_t stored_bytes(const ResolverInput& input) {
  const int64_t draft = input.draft ? input.draft->model.estimated_weight_bytes.value_or(0) : 0;
  return saturating_add(input.model.estimated_weight_bytes.value_or(0), draft);
}

class MachineResolver {
 public:
  MachineResolver(const ResolverInput& input, Recorder& record, RunConfig& config)
      : in_(input), settings_(input.settings), record_(record), config_(config) {}

  Status run() {
    config_.backend = to_lower(in_.hardware.backend);
    FERRUM_RETURN_IF_ERROR(check_backend());
    FERRUM_RETURN_IF_ERROR(check_kv());
    decide_plain();
    FERRUM_RETURN_IF_ERROR(decide_queue());
    const std::string isa = settings_.get_text("FERRUM_CPU_ISA").value_or("auto");
    if (!on_cpu() && isa != "auto") {
      return record_.refuse("FERRUM_CPU_ISA", "chooses kernels of the cpu backend, and that does not compute here");
    }
    config_.threads = settings_.get_int("FERRUM_THREADS").value_or(0);
    if (in_.host) decide_backend();
    if (on_device()) FERRUM_RETURN_IF_ERROR(decide_for_device());
    if (on_cpu() && in_.host) {
      FERRUM_RETURN_IF_ERROR(decide_isa());
      FERRUM_RETURN_IF_ERROR(decide_threads());
      FERRUM_RETURN_IF_ERROR(decide_mmap_only());
      FERRUM_RETURN_IF_ERROR(decide_bf16_products());
      decide_parity_gate();
      FERRUM_RETURN_IF_ERROR(decide_experts());
    }
    decide_profiles();
    decide_kv();
    decide_context();
    return decide_kernels(in_, record_, config_);
  }

 private:
  bool on_cpu() const { return config_.backend == "cpu" || config_.backend == "reference"; }
  // That of this machine, not a supposed one.
  bool on_device() const { return config_.backend == "cuda" && in_.host.has_value(); }

  Status check_backend() const {
    const auto wanted = settings_.get_text("FERRUM_BACKEND");
    if (!wanted || *wanted == "auto" || *wanted == config_.backend) return Status::ok();
    if (*wanted == "cuda" && !in_.cuda.reason.empty()) return record_.refuse("FERRUM_BACKEND", in_.cuda.reason);
    return record_.refuse("FERRUM_BACKEND", "the hardware profile is that of backend " + config_.backend);
  }

  // The KV cache as the seeds' rules leave it open.
  Status check_kv() const {
    const auto capacity = settings_.get_int("FERRUM_KV_CAPACITY");
    const auto length = settings_.get_int("FERRUM_MAX_MODEL_LEN");
    const int64_t tokens = saturating_mul(config_.kv_blocks, config_.block_size);
    const int64_t used = std::min(capacity.value_or(0), in_.model.max_context_len.value_or(capacity.value_or(0)));
    const bool sized_by_fraction = on_cpu() && in_.host && !settings_.has("FERRUM_KV_MAX_BLOCKS");
    FERRUM_RETURN_IF_ERROR(record_.first_broken({
        {capacity && length && *capacity < *length,
         "FERRUM_KV_CAPACITY",
         "is less than the FERRUM_MAX_MODEL_LEN that a sequence may have",
         {"FERRUM_MAX_MODEL_LEN"}},
        {used > tokens,
         "FERRUM_KV_CAPACITY",
         "exceeds KV cache token capacity",
         {"FERRUM_KV_MAX_BLOCKS", "FERRUM_BLOCK_SIZE", "FERRUM_KV_MEMORY_FRACTION"}},
        {tokens > std::numeric_limits<int32_t>::max(),
         "FERRUM_KV_MAX_BLOCKS",
         "more tokens than a KV cache can address",
         {"FERRUM_BLOCK_SIZE"}},
        {settings_.has("FERRUM_KV_MEMORY_FRACTION") && settings_.has("FERRUM_KV_MAX_BLOCKS"),
         "FERRUM_KV_MEMORY_FRACTION",
         "has no effect beside FERRUM_KV_MAX_BLOCKS",
         {"FERRUM_KV_MAX_BLOCKS"}},
        {settings_.has("FERRUM_KV_MEMORY_FRACTION") && !sized_by_fraction, "FERRUM_KV_MEMORY_FRACTION",
         "has no effect here: the KV cache is sized by an accelerator's memory"},
    }));
    return check_kv_fits();
  }

  // Blocks that were asked for, against the memory of the host.
  Status check_kv_fits() const {
    const auto per_token = kv_bytes_per_token(in_);
    if (!on_cpu() || !in_.host || !per_token || !settings_.has("FERRUM_KV_MAX_BLOCKS")) return Status::ok();
    const int64_t wanted = saturating_mul(saturating_mul(*per_token, config_.block_size), config_.kv_blocks);
    const int64_t left = std::max<int64_t>(in_.host->free_memory - weight_bytes(in_).value_or(0), 0);
    if (wanted <= left) return Status::ok();
    return record_.refuse(
        "FERRUM_KV_MAX_BLOCKS",
        "takes " + std::to_string(wanted) + " bytes; " + std::to_string(left) + " are free beside the weights",
        {"FERRUM_BLOCK_SIZE", "FERRUM_KV_DTYPE"});
  }

  void decide_plain() {
    const Count waiting = record_.count("FERRUM_MAX_WAITING", {config_.max_waiting, Source::kDefault, {}});
    config_.max_waiting = waiting.value;
    record_.value("max_waiting", std::to_string(waiting.value), waiting, {Effect::kPerformance});
    const Count swap = record_.count("FERRUM_SWAP_SPACE", {config_.swap_space_mib, Source::kDefault, {}});
    config_.swap_space_mib = swap.value;
    record_.value("swap_space_mib", std::to_string(swap.value), swap, {Effect::kPerformance, Effect::kMemory});
    const Word dtype =
        record_.word("FERRUM_DTYPE", {on_cpu() || on_device() ? "fp32" : "fp16", Source::kHardwareCapability, {}});
    config_.dtype = dtype.value;
    record_.value("activation_dtype", dtype.value, dtype,
                  {Effect::kCorrectness, Effect::kPerformance, Effect::kMemory});
    config_.moe_profile = resolve_moe_profile(settings_);
  }

  Status decide_queue() {
    const Word policy = record_.word("FERRUM_SCHED_POLICY", {config_.queue_policy, Source::kDefault, {}});
    const Count ageing = record_.count("FERRUM_SCHED_AGEING_SECONDS", {config_.ageing_seconds, Source::kDefault, {}});
    config_.queue_policy = policy.value;
    config_.ageing_seconds = ageing.value;
    const bool fcfs = policy.value == "fcfs";
    record_.select("queue_policy",
                   fcfs                         ? 0
                   : policy.value == "priority" ? 1
                                                : 2,
                   policy,
                   {{"fcfs", "another order was asked for"},
                    {"priority", "not asked for; requests that have a priority are refused"},
                    {"fair", "not asked for; it pays where several API keys share the server"}},
                   {Effect::kPerformance});
    if (!fcfs) record_.value("priority_ageing_seconds", std::to_string(ageing.value), ageing, {Effect::kPerformance});
    return record_.first_broken({{fcfs && ageing.key.has_value(),
                                  "FERRUM_SCHED_AGEING_SECONDS",
                                  "has no effect where nobody looks at priorities",
                                  {"FERRUM_SCHED_POLICY"}}});
  }

  void decide_backend() {
    Word by = record_.word("FERRUM_BACKEND", {config_.backend, Source::kHardwareCapability, {}});
    if (by.value == "auto") by = {config_.backend, Source::kHardwareCapability, {}};
    const bool cuda = config_.backend == "cuda";
    const std::string no_cuda = !in_.cuda.reason.empty() ? in_.cuda.reason
                                : by.key                 ? "another backend was asked for"
                                         : "its kernels are not proved on a GPU yet: only where asked for";
    record_.select("backend",
                   cuda                       ? 0
                   : config_.backend == "cpu" ? 1
                                              : 2,
                   by,
                   {{"cuda", no_cuda},
                    {"cpu", cuda ? "a GPU was asked for" : "the reference was asked for"},
                    {"reference", "slow on purpose: it exists to compare with"}},
                   {Effect::kPerformance});
  }

  // Settings of what a device does otherwise, or not at all; switched off they say what is so anyway.
  Status decide_for_device() {
    struct Only {
      std::string_view key;
      const char* reason;
    };
    constexpr const char* kOfCpu = "is a matter of the cpu backend, and that does not compute here";
    constexpr const char* kNotTimed = "operations are queued on the device, where nothing times them";
    constexpr Only kKeys[] = {{"FERRUM_THREADS", kOfCpu},
                              {"FERRUM_MMAP_ONLY", kOfCpu},
                              {"FERRUM_BF16_PRODUCTS", kOfCpu},
                              {"FERRUM_PARITY_GATE", kOfCpu},
                              {"FERRUM_MOE_BATCHED", kOfCpu},
                              {"FERRUM_MOE_BATCH_THRESHOLD", kOfCpu},
                              {"FERRUM_EXPERT_CACHE", "all experts lie in the memory of the device"},
                              {"FERRUM_DECODE_OP_PROFILE", kNotTimed},
                              {"FERRUM_PREFILL_OP_PROFILE", kNotTimed},
                              {"FERRUM_DECODE_LAYER_PROFILE", kNotTimed},
                              {"FERRUM_MOE_PROFILE", kNotTimed}};
    for (const Only& only : kKeys) {
      if (!settings_.has(only.key)) continue;
      const KeySpec& key = *find_key(only.key);
      const bool off = key.type == KeyType::kBool && !*settings_.get_bool(only.key);
      const bool automatic = key.type == KeyType::kChoice && *settings_.get_text(only.key) == "auto";
      const bool zero = key.type == KeyType::kInt && *settings_.get_int(only.key) == 0;
      if (!off && !automatic && !zero) return record_.refuse(only.key, only.reason, {"FERRUM_BACKEND"});
    }
    config_.parity_gate = false;  // there is nothing to fall back to
    return Status::ok();
  }

  Status decide_isa() {
    const bool set = settings_.has("FERRUM_CPU_ISA");
    if (config_.backend == "reference") {
      return record_.first_broken({{set && *settings_.get_text("FERRUM_CPU_ISA") != "auto",
                                    "FERRUM_CPU_ISA",
                                    "the reference backend is portable code and has no choice",
                                    {"FERRUM_BACKEND"}}});
    }
    const std::string& best = in_.host->isa.back();
    Word by = record_.word("FERRUM_CPU_ISA", {best, Source::kHardwareCapability, {}});
    if (by.value == "auto") by = {best, Source::kHardwareCapability, {}};
    if (!contains(in_.host->isa, by.value)) {
      return record_.refuse("FERRUM_CPU_ISA", "this machine or this build does not have it; the best is " + best);
    }
    std::vector<DecisionCandidate> candidates;
    size_t selected = 0;
    for (std::string_view level : cpu_isa_levels()) {
      if (level == by.value) selected = candidates.size();
      const bool here = contains(in_.host->isa, level);
      candidates.push_back({std::string(level), !here    ? "this machine or this build does not have it"
                                                : by.key ? "another level was asked for"
                                                         : "a faster level is available"});
    }
    config_.cpu_isa = by.value;
    record_.select("cpu_isa", selected, by, std::move(candidates), {Effect::kPerformance});
    return Status::ok();
  }

  Status decide_threads() {
    Count by = record_.count("FERRUM_THREADS", {0, Source::kHardwareCapability, {}});
    const int64_t most = config_.backend == "reference" ? 1 : std::numeric_limits<int64_t>::max();
    if (by.value > most) {
      return record_.refuse("FERRUM_THREADS", "the reference backend computes on one thread", {"FERRUM_BACKEND"});
    }
    if (by.value == 0) by = {std::min(std::max<int64_t>(in_.host->cores, 1), most), Source::kHardwareCapability, {}};
    config_.threads = by.value;
    record_.value("threads", std::to_string(by.value), by, {Effect::kPerformance});
    return Status::ok();
  }

  Status decide_mmap_only() {
    const Flag only = record_.flag("FERRUM_MMAP_ONLY", false, Source::kDefault);
    if (only.value && config_.backend != "cpu") {
      return record_.refuse("FERRUM_MMAP_ONLY", "only the cpu backend has a choice", {"FERRUM_BACKEND"});
    }
    config_.mmap_only = only.value;
    if (config_.backend != "cpu") return Status::ok();
    record_.select("weight_layout", only.value ? 1 : 0, only,
                   {{"panels", "only the file's own blocks were asked for"}, {"mapped file", "slower"}},
                   {Effect::kCorrectness, Effect::kPerformance, Effect::kMemory});
    return Status::ok();
  }

  Status decide_bf16_products() {
    Word by = record_.word("FERRUM_BF16_PRODUCTS", {"auto", Source::kHardwareCapability, {}});
    const bool cpu = config_.backend == "cpu";
    const bool can = cpu && !in_.host->rounded_bf16.empty() && config_.cpu_isa == "avx512" && !config_.mmap_only;
    if (by.value == "rounded" && !can) {
      return record_.refuse("FERRUM_BF16_PRODUCTS",
                            "needs a processor with BF16 products, instruction set avx512 and repacked weights",
                            {"FERRUM_BACKEND", "FERRUM_CPU_ISA", "FERRUM_MMAP_ONLY"});
    }
    config_.rounded_bf16 = can && by.value != "exact";
    if (!cpu) return Status::ok();
    if (by.value == "auto") by = {by.value, Source::kHardwareCapability, {}};
    const std::string rounded = can ? "rounded by " + in_.host->rounded_bf16 : "rounded";
    record_.select("bf16_products", config_.rounded_bf16 ? 0 : 1, by,
                   {{rounded, can ? "exact products were asked for" : "the processor or the settings do not allow it"},
                    {"exact", "slower"}},
                   {Effect::kCorrectness, Effect::kPerformance});
    return Status::ok();
  }

  void decide_parity_gate() {
    const Flag gate = record_.flag("FERRUM_PARITY_GATE", true, Source::kDefault);
    config_.parity_gate = gate.value;
    record_.select("parity_gate", gate.value ? 0 : 1, gate,
                   {{"on", "switched off"}, {"off", "a wrong kernel would go unnoticed"}},
                   {Effect::kCorrectness, Effect::kPerformance});
  }

  // How an expert's rows are computed on the cpu; both ways give the same bits.
  Status decide_experts() {
    constexpr std::string_view kKeys[] = {"FERRUM_MOE_BATCHED", "FERRUM_MOE_BATCH_THRESHOLD", "FERRUM_MOE_PROFILE",
                                          "FERRUM_MOE_LOAD_TRACE", "FERRUM_EXPERT_CACHE"};
    if (!in_.model.moe) {
      const bool model_known = in_.model.num_hidden_layers.has_value();
      for (const std::string_view key : kKeys) {
        if (model_known && settings_.has(key)) return record_.refuse(key, "the model has no experts");
      }
      return Status::ok();
    }
    const MoeProfile& moe = config_.moe_profile;
    const Flag batched = record_.flag("FERRUM_MOE_BATCHED", moe.batched, Source::kDefault);
    if (!batched.value && settings_.has("FERRUM_MOE_BATCH_THRESHOLD")) {
      return record_.refuse("FERRUM_MOE_BATCH_THRESHOLD", "rows are never gathered", {"FERRUM_MOE_BATCHED"});
    }
    Count rows = record_.count("FERRUM_MOE_BATCH_THRESHOLD", {moe.batch_threshold, Source::kDefault, {}});
    if (batched.key) rows.source = batched.source, rows.key = batched.key;
    record_.select("expert_rows", batched.value ? 0 : 1, rows,
                   {{"gathered_from_" + std::to_string(moe.batch_threshold), "switched off"},
                    {"one_by_one", "weights would be unpacked for each row of an expert"}},
                   {Effect::kPerformance});
    return decide_expert_cache();
  }

  Status decide_expert_cache() {
    const bool set = settings_.has("FERRUM_EXPERT_CACHE");
    FERRUM_RETURN_IF_ERROR(record_.first_broken({
        {set && config_.backend != "cpu",
         "FERRUM_EXPERT_CACHE",
         "only the cpu backend copies experts into memory",
         {"FERRUM_BACKEND"}},
        {set && config_.mmap_only,
         "FERRUM_EXPERT_CACHE",
         "experts are used where the file is mapped",
         {"FERRUM_MMAP_ONLY"}},
    }));
    config_.expert_cache_mib = expert_cache_mib(in_);
    const std::optional<int64_t>& cache = config_.expert_cache_mib;
    const Count by = record_.count("FERRUM_EXPERT_CACHE", {0, Source::kHardwareCapability, {}});
    record_.select("expert_memory", cache ? 1 : 0, by,
                   {{"all", set ? "less was asked for" : "they do not fit beside the other weights"},
                    {cache ? std::to_string(*cache) + "_mib" : "some", "there is memory for all"}},
                   {Effect::kPerformance, Effect::kMemory});
    return Status::ok();
  }

  // A decision only where one was asked for: an engine that is not timed has nothing to tell about it.
  void decide_profiles() {
    const auto decide = [&](std::string_view key, const char* selection, bool& choice) {
      if (!settings_.has(key)) return;
      const Flag flag = record_.flag(key, false, Source::kDefault);
      choice = flag.value;
      record_.select(selection, choice ? 0 : 1, flag, {{"on", "switched off"}, {"off", "asked for"}},
                     {Effect::kDiagnostics});
    };
    decide("FERRUM_DECODE_OP_PROFILE", "decode_op_profile", config_.decode_op_profile);
    decide("FERRUM_PREFILL_OP_PROFILE", "prefill_op_profile", config_.prefill_op_profile);
    decide("FERRUM_DECODE_LAYER_PROFILE", "decode_layer_profile", config_.decode_layer_profile);
    bool experts = false;
    decide("FERRUM_MOE_PROFILE", "moe_profile", experts);
    config_.decode_op_profile |= experts;
    config_.prefill_op_profile |= experts;
  }

  void decide_kv() {
    const Word dtype = record_.word("FERRUM_KV_DTYPE", {"fp16", Source::kDefault, {}});
    std::vector<DecisionCandidate> candidates;
    size_t selected = 0;
    for (std::string_view choice : find_key("FERRUM_KV_DTYPE")->choices) {
      if (choice == dtype.value) selected = candidates.size();
      const bool can = contains(in_.hardware.supported_kv_dtypes, choice);
      candidates.push_back({std::string(choice), !can               ? "the backend does not support it"
                                                 : dtype.key        ? "another type was asked for"
                                                 : choice == "fp32" ? "twice the memory"
                                                 : choice == "bf16" ? "the same memory, fewer digits"
                                                                    : "half the memory, but less exact"});
    }
    config_.kv_dtype = dtype.value;
    record_.select("kv_dtype", selected, dtype, std::move(candidates),
                   {Effect::kCorrectness, Effect::kPerformance, Effect::kMemory});

    const Flag paged = record_.flag("FERRUM_PAGED_KV", true, Source::kDefault);
    config_.paged_kv = paged.value;
    record_.select("kv_layout", paged.value ? 0 : 1, paged,
                   {{"paged", "contiguous KV was asked for"},
                    {"contiguous", in_.parts.contiguous_kv ? "memory would be set aside for whole contexts"
                                                           : "not built into this engine"}},
                   {Effect::kPerformance, Effect::kMemory});
    const Count block = record_.count("FERRUM_BLOCK_SIZE", {kDefaultBlockSize, Source::kDefault, {}});
    record_.value("kv_block_size", std::to_string(block.value), block, {Effect::kPerformance, Effect::kMemory});
  }

  // The least of what the model, the settings and the KV cache allow.
  void decide_context() {
    const int64_t pool = saturating_mul(config_.kv_blocks, config_.block_size);
    struct Limit {
      int64_t tokens;
      Count by;
      const char* reason;
    };
    std::vector<Limit> limits;
    const auto& model = in_.model.max_context_len;
    if (model) limits.push_back({*model, {*model, Source::kModelMetadata, {}}, "more than may be used here"});
    for (const char* key : {"FERRUM_MAX_MODEL_LEN", "FERRUM_KV_CAPACITY"}) {
      if (!settings_.has(key)) continue;
      const Count by = record_.count(key, {});
      limits.push_back({by.value, by, "another limit is lower"});
    }
    if (limits.empty()) return;  // nothing is known of the model
    limits.push_back(
        {pool,
         {pool,
          settings_.has("FERRUM_KV_MAX_BLOCKS") ? settings_.source("FERRUM_KV_MAX_BLOCKS")
                                                : Source::kHardwareCapability,
          settings_.has("FERRUM_KV_MAX_BLOCKS") ? std::optional<std::string>("FERRUM_KV_MAX_BLOCKS") : std::nullopt},
         "all tokens of the KV cache; one sequence does not get as many"});
    size_t least = 0;
    for (size_t i = 1; i < limits.size(); ++i) {
      if (limits[i].tokens < limits[least].tokens) least = i;
    }
    // A setting that says the same as the model is what decided.
    for (size_t i = 0; i < limits.size(); ++i) {
      if (limits[i].tokens == limits[least].tokens && limits[i].by.key && !limits[least].by.key) least = i;
    }
    config_.context_length = limits[least].tokens;
    std::vector<DecisionCandidate> candidates;
    size_t selected = 0;
    for (size_t i = 0; i < limits.size(); ++i) {
      if (i != least && limits[i].tokens == limits[least].tokens) continue;
      if (i == least) selected = candidates.size();
      candidates.push_back({std::to_string(limits[i].tokens), limits[i].reason});
    }
    record_.select("context_length", selected, limits[least].by, std::move(candidates),
                   {Effect::kCorrectness, Effect::kMemory});
  }

  const ResolverInput& in_;
  const Settings& settings_;
  Recorder& record_;
  RunConfig& config_;
};

}  // namespace

std::optional<int64_t> kv_bytes_per_token(const ResolverInput& input) {
  const std::string dtype = input.settings.get_text("FERRUM_KV_DTYPE").value_or("fp16");
  const auto of_model = [&](const ModelCapabilities& model) -> std::optional<int64_t> {
    const auto halves = model.kv_bytes_per_token();
    if (!halves) return std::nullopt;
    if (dtype == "fp32") return saturating_mul(*halves, 2);
    if (dtype == "fp8") return *halves / 2;
    // A float per token and KV head scales K's integers, another V's.
    if (dtype == "int8") return *halves / 2 + int64_t{8} * *model.num_hidden_layers * *model.kv_heads;
    return *halves;
  };
  const auto target = of_model(input.model), draft = input.draft ? of_model(input.draft->model) : 0;
  if (!target || !draft) return std::nullopt;
  return saturating_add(*target, *draft);
}

std::optional<int64_t> expert_cache_mib(const ResolverInput& input) {
  if (!input.model.moe || !input.model.moe->expert_bytes) return std::nullopt;
  const int64_t experts = *input.model.moe->expert_bytes;
  if (const auto set = input.settings.get_int("FERRUM_EXPERT_CACHE")) {
    return *set << 20 < experts ? set : std::nullopt;
  }
  const bool in_file = input.settings.get_bool("FERRUM_MMAP_ONLY").value_or(false);
  if (to_lower(input.hardware.backend) != "cpu" || !input.host || in_file) return std::nullopt;
  const int64_t left = input.host->free_memory - (stored_bytes(input) - experts);
  if (left <= 0 || experts <= left / 8 * kExpertEighths) return std::nullopt;
  return std::max<int64_t>(1, left / 8 * kExpertEighths >> 20);
}

std::optional<int64_t> weight_bytes(const ResolverInput& input) {
  if (!input.model.estimated_weight_bytes) return std::nullopt;
  const std::optional<int64_t> cache = expert_cache_mib(input);
  return stored_bytes(input) - (cache ? *input.model.moe->expert_bytes - (*cache << 20) : 0);
}

std::optional<int64_t> wanted_context(const ResolverInput& input) {
  std::optional<int64_t> context = input.model.max_context_len;
  for (const char* key : {"FERRUM_MAX_MODEL_LEN", "FERRUM_KV_CAPACITY"}) {
    if (const auto set = input.settings.get_int(key)) context = std::min(context.value_or(*set), *set);
  }
  return context;
}

Status decide_machine(const ResolverInput& input, Recorder& record, RunConfig& config) {
  return MachineResolver(input, record, config).run();
}

}  // namespace ferrum
