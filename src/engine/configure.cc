#include "engine/configure.h"

#include <limits>

#include "engine/capabilities.h"
#include "engine/draft_load.h"
#include "engine/model_backend.h"
#include "io/gguf.h"

namespace ferrum {

EngineOptions engine_options(const RunConfig& c) {
  const auto narrow = [](int64_t value) {
    FERRUM_CHECK(value >= 0 && value <= std::numeric_limits<int>::max(), "a count of the run configuration");
    return static_cast<int>(value);
  };
  EngineOptions o;
  o.backend = c.backend;
  o.isa = c.cpu_isa.empty() ? "auto" : c.cpu_isa;
  o.threads = narrow(c.threads);
  o.max_seqs = narrow(c.max_sequences);
  o.max_batched_tokens = narrow(c.max_batched_tokens);
  o.max_waiting = narrow(c.max_waiting);
  const std::optional<QueuePolicy> policy = queue_policy(c.queue_policy);
  FERRUM_CHECK(policy.has_value(), "an order of requests that the settings allow");
  o.queue_policy = *policy;
  o.ageing_seconds = narrow(c.ageing_seconds);
  o.max_model_len = narrow(c.context_length);
  o.block_size = narrow(c.block_size);
  o.kv_blocks = c.kv_blocks;
  o.expert_batch_threshold =
      c.moe_profile.batched ? narrow(c.moe_profile.batch_threshold) : std::numeric_limits<int>::max();
  o.expert_cache_bytes = c.expert_cache_mib.value_or(0) << 20;
  o.expert_load_trace = c.moe_profile.load_trace;
  o.mmap_only = c.mmap_only;
  o.rounded_bf16 = c.rounded_bf16;
  o.parity_gate = c.parity_gate;
  o.profile = {c.decode_op_profile, c.prefill_op_profile, c.decode_layer_profile};
  o.prefix_cache = c.prefix_cache;
  o.swap_bytes = c.swap_space_mib << 20;
  const std::string& kv = c.kv_dtype;
  FERRUM_CHECK(kv == "fp16" || kv == "bf16" || kv == "fp32" || kv == "int8", "a KV type that the resolver must refuse");
  o.kv_dtype = kv == "fp16" ? DType::kF16 : kv == "bf16" ? DType::kBF16 : kv == "int8" ? DType::kI8 : DType::kF32;
  switch (c.admission) {
    case AdmissionPolicy::kContinuous: break;
    case AdmissionPolicy::kPromptTokenEstimate: o.whole_prompts = true; break;
    case AdmissionPolicy::kPrefillFirstUntilActive: o.prefill_first_until_active = narrow(c.admission_value); break;
    case AdmissionPolicy::kActiveDecodePrefillChunk: o.active_decode_prefill_chunk = narrow(c.admission_value); break;
  }
  const std::optional<SpeculationMode> mode = speculation_mode(c.speculation);
  FERRUM_CHECK(mode.has_value(), "a mode of speculation that the settings allow");
  o.speculation.mode = *mode;
  o.draft_model = c.draft_model;
  o.measure_guess_cost = c.measure_guess_cost;
  o.speculation.max_draft = narrow(c.max_draft);
  o.speculation.ngram_min = narrow(c.ngram_min);
  o.speculation.ngram_max = narrow(c.ngram_max);
  return o;
}

namespace {

// The target, and the draft model, if settings name one.
struct OpenModels {
  ModelFiles files;
  ConfiguredModels capabilities;
};

Result<OpenModels> open_models(const std::string& model_path, const Settings& settings) {
  OpenModels open;
  FERRUM_ASSIGN_OR_RETURN(open.files.target, Gguf::open(model_path));
  FERRUM_ASSIGN_OR_RETURN(open.files.draft, open_draft_model(settings.get_text("FERRUM_DRAFT_MODEL").value_or("")));
  open.capabilities.target = model_capabilities(open.files.target);
  if (open.files.draft == nullptr) return open;
  // One that does not fit, the resolver refuses.
  open.capabilities.draft = DraftCapabilities{model_capabilities(open.files.draft),
                                              check_draft_model(*open.files.target, *open.files.draft).message()};
  return open;
}

}  // namespace

Result<Configuration> configure(const ConfiguredModels& models, const Hosts& hosts, const Settings& settings,
                                RunKind kind) {
  Configuration c;
  c.input.settings = settings;
  c.input.model = models.target;
  c.input.draft = models.draft;
  // A GPU only where it is asked for, and one that cannot be used is refused by the resolver.
  const std::string backend = settings.get_text("FERRUM_BACKEND").value_or("auto");
  const bool cuda = backend == "cuda" && hosts.cuda.reason.empty();
  c.input.hardware =
      cuda ? hosts.cuda.capabilities : HardwareCapabilities::host_cpu(backend == "reference" ? "reference" : "cpu");
  c.input.hardware.compiled_features = compiled_kernel_features();
  c.input.host = hosts.cpu;
  c.input.cuda = hosts.cuda;
  c.input.workload = kind == RunKind::kSingleUser ? WorkloadProfile::single_user()
                     : cuda                       ? WorkloadProfile::serving_default_for_hardware(c.input.hardware)
                                                  : WorkloadProfile::cpu_serving(hosts.cpu);
  c.input.parts = EngineParts::this_build();
  FERRUM_ASSIGN_OR_RETURN(c.run, resolve(c.input));
  return c;
}

Result<EngineOptions> plan_options(const std::string& model_path, const Settings& settings, RunKind kind,
                                   std::optional<int64_t> vram_bytes) {
  FERRUM_ASSIGN_OR_RETURN(const OpenModels open, open_models(model_path, settings));
  const ConfiguredModels& models = open.capabilities;
  // Memory as large as need be: whether it suffices is what the plan will say. With an accelerator, its rules choose.
  const Hosts here = hosts();
  Hosts large = here;
  large.cpu.free_memory = large.cuda.free_memory = int64_t{1} << 50;
  FERRUM_ASSIGN_OR_RETURN(const Configuration wanted, configure(models, large, settings, kind));
  EngineOptions options = engine_options(wanted.run);
  if (vram_bytes) {
    if (settings.has("FERRUM_KV_MAX_BLOCKS")) return options;
    options.kv_blocks = 0;  // what the accelerator has left, at most what the sequences can use
    if (!settings.has("FERRUM_MAX_MODEL_LEN")) options.max_model_len = 0;
    return options;
  }
  const Result<Configuration> fits = configure(models, here, settings, kind);
  return fits.is_ok() ? engine_options(fits->run) : options;
}

Result<std::vector<KernelChoice>> check_kernels(const std::string& model_path, const EngineOptions& options) {
  FERRUM_ASSIGN_OR_RETURN(const std::shared_ptr<const Gguf> file, Gguf::open(model_path));
  FERRUM_ASSIGN_OR_RETURN(const auto backend, make_model_backend(*file, options));
  return backend->kernel_choices();
}

Result<Configuration> configure(const std::string& model_path, const Settings& settings, RunKind kind) {
  FERRUM_ASSIGN_OR_RETURN(OpenModels open, open_models(model_path, settings));
  FERRUM_ASSIGN_OR_RETURN(Configuration c, configure(open.capabilities, hosts(), settings, kind));
  c.files = std::move(open.files);
  return c;
}

}  // namespace ferrum
