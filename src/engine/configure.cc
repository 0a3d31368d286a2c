#include "engine/configure.h"

#include <limits>

#include "engine/capabilities.h"
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
  o.max_model_len = narrow(c.context_length);
  o.block_size = narrow(c.block_size);
  o.kv_blocks = c.kv_blocks;
  const std::string& kv = c.kv_dtype;
  FERRUM_CHECK(kv == "fp16" || kv == "bf16" || kv == "fp32", "a KV type that the resolver must refuse");
  o.kv_dtype = kv == "fp16" ? DType::kF16 : kv == "bf16" ? DType::kBF16 : DType::kF32;
  switch (c.admission) {
    case AdmissionPolicy::kContinuous: break;
    case AdmissionPolicy::kPromptTokenEstimate: o.whole_prompts = true; break;
    case AdmissionPolicy::kPrefillFirstUntilActive: o.prefill_first_until_active = narrow(c.admission_value); break;
    case AdmissionPolicy::kActiveDecodePrefillChunk: o.active_decode_prefill_chunk = narrow(c.admission_value); break;
  }
  return o;
}

Result<Configuration> configure(const ModelCapabilities& model, const CpuHost& host, const Settings& settings,
                                RunKind kind) {
  Configuration c;
  c.input.settings = settings;
  c.input.model = model;
  // No GPU backend is compiled, so what is asked of one is refused for that reason.
  const bool reference = settings.get_text("FERRUM_BACKEND") == "reference";
  c.input.hardware = HardwareCapabilities::host_cpu(reference ? "reference" : "cpu");
  c.input.hardware.compiled_features = compiled_kernel_features();
  c.input.host = host;
  c.input.workload = kind == RunKind::kServing ? WorkloadProfile::cpu_serving(host) : WorkloadProfile::single_user();
  c.input.parts = EngineParts::this_build();
  FERRUM_ASSIGN_OR_RETURN(c.run, resolve(c.input));
  return c;
}

Result<Configuration> configure(const std::string& model_path, const Settings& settings, RunKind kind) {
  FERRUM_ASSIGN_OR_RETURN(const std::shared_ptr<const Gguf> file, Gguf::open(model_path));
  return configure(model_capabilities(file), cpu_host(), settings, kind);
}

}  // namespace ferrum
