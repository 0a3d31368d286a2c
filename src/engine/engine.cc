// The composition root: the one place that knows file, model, backend, runner, tokenizer and template together.
#include "engine/engine.h"

#include <algorithm>
#include <future>

#include "base/cores.h"
#include "base/log.h"
#include "engine/capabilities.h"
#include "engine/draft_load.h"
#include "engine/engine_core.h"
#include "engine/expert_trace.h"
#include "engine/memory.h"
#include "engine/memory_plan.h"
#include "engine/model_backend.h"
#include "engine/model_step_runner.h"
#include "engine/profiled_backend.h"
#include "io/gguf.h"
#include "models/registry.h"

namespace ferrum {
namespace {

Status check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return Status::ok();
  return invalid_argument(std::string(name) + " must be between " + std::to_string(low) + " and " +
                          std::to_string(high) + ", got " + std::to_string(value));
}

Status check_options(const EngineOptions& o) {
  FERRUM_RETURN_IF_ERROR(check_range("max_seqs", o.max_seqs, 1, 4096));
  FERRUM_RETURN_IF_ERROR(check_range("max_batched_tokens", o.max_batched_tokens, 1, 65536));
  FERRUM_RETURN_IF_ERROR(check_range("max_waiting", o.max_waiting, 0, 1 << 20));
  FERRUM_RETURN_IF_ERROR(check_range("ageing_seconds", o.ageing_seconds, 1, kMaxAgeingSeconds));
  FERRUM_RETURN_IF_ERROR(check_range("max_model_len", o.max_model_len, 0, 1 << 30));
  FERRUM_RETURN_IF_ERROR(check_range("block_size", o.block_size, 1, 1024));
  FERRUM_RETURN_IF_ERROR(check_range("kv_blocks", o.kv_blocks, 0, int64_t{1} << 31));
  FERRUM_RETURN_IF_ERROR(check_range("swap_bytes", o.swap_bytes, 0, int64_t{1} << 50));
  FERRUM_RETURN_IF_ERROR(check_range("expert_cache_bytes", o.expert_cache_bytes, 0, int64_t{1} << 50));
  FERRUM_RETURN_IF_ERROR(check_range("threads", o.threads, 0, 1024));
  FERRUM_RETURN_IF_ERROR(check_range("active_decode_prefill_chunk", o.active_decode_prefill_chunk, 0, 65536));
  FERRUM_RETURN_IF_ERROR(validate(o.speculation));
  if (o.speculation.uses_draft_model() && o.draft_model.empty()) {
    return invalid_argument(std::string("speculation \"") + to_string(o.speculation.mode) +
                            "\" needs a draft model, and none is given");
  }
  FERRUM_RETURN_IF_ERROR(check_range("prefill_first_until_active", o.prefill_first_until_active, 0, 4096));
  if (!(o.kv_memory_fraction > 0 && o.kv_memory_fraction <= 1)) {
    return invalid_argument("kv_memory_fraction must be above 0 and at most 1, got " +
                            std::to_string(o.kv_memory_fraction));
  }
  return Status::ok();
}

// What load() puts together.
struct Parts {
  EngineOptions options;  // resolved
  MemoryPlan plan;
  ModelSpec spec;
  std::string description;
  std::vector<KernelChoice> kernels;
  CoreOptions core;
  std::unique_ptr<StepRunner> runner;
  std::shared_ptr<OpProfile> profile;       // nullptr where nothing is timed
  std::unique_ptr<DraftModel> draft_model;  // nullptr where there is none
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;
  std::shared_ptr<const Gguf> file;
};

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(Parts parts)
      : options_(std::move(parts.options)),
        spec_(std::move(parts.spec)),
        description_(std::move(parts.description)),
        kernels_(std::move(parts.kernels)),
        plan_(std::move(parts.plan)),
        tokenizer_(parts.tokenizer),
        chat_template_(std::move(parts.chat_template)),
        file_(std::move(parts.file)),
        core_(parts.core, std::move(parts.runner), std::move(parts.tokenizer), std::move(parts.profile),
              std::move(parts.draft_model)) {}

  Result<std::vector<RequestId>> submit(Request request, std::vector<EventSink> choices) override {
    return core_.submit(std::move(request), std::move(choices));
  }
  Status check_room() const override { return core_.check_room(); }
  double retry_after_seconds() const override { return core_.retry_after_seconds(); }
  void cancel(RequestId request) override { core_.cancel(request); }
  Status warm_up() { return core_.warm_up(); }
  void start() override { core_.start(); }
  void drain() override { core_.drain(); }
  Result<bool> step() override { return core_.step(); }
  Result<int> save_kv(std::span<const TokenId> text, const std::string& salt, const std::string& path) override {
    FERRUM_ASSIGN_OR_RETURN(SavedKv kv, core_.export_kv(text, salt));
    FERRUM_RETURN_IF_ERROR(write_kv_file(path, kv_identity(), salt, kv));
    return static_cast<int>(kv.tokens.size());
  }
  Result<int> restore_kv(const std::string& path, const std::string& salt) override {
    FERRUM_ASSIGN_OR_RETURN(const SavedKv kv, read_kv_file(path, kv_identity(), salt, options_.kv_blocks));
    FERRUM_RETURN_IF_ERROR(core_.import_kv(kv, salt));
    return static_cast<int>(kv.tokens.size());
  }
  const EngineOptions& options() const override { return options_; }
  const ModelSpec& model() const override { return spec_; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  std::shared_ptr<const ChatTemplate> chat_template() const override { return chat_template_; }
  std::string describe() const override { return description_; }
  EngineStats stats() const override { return core_.stats(); }
  std::vector<KernelChoice> kernel_choices() const override { return kernels_; }
  const FlightRecorder* recorder() const override { return &core_.recorder(); }
  const MemoryPlan* memory_plan() const override { return &plan_; }

 private:
  // Reads a little of every tensor, so not when the engine starts.
  KvIdentity kv_identity() const {
    KvIdentity id = core_.options().kv;
    id.model = model_fingerprint(*file_);
    return id;
  }

  const EngineOptions options_;
  const ModelSpec spec_;
  const std::string description_;
  const std::vector<KernelChoice> kernels_;
  const MemoryPlan plan_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<const ChatTemplate> chat_template_;
  const std::shared_ptr<const Gguf> file_;
  EngineCore core_;
};

struct Text {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;
};

Result<Text> load_text(const Gguf& file) {
  Text text;
  FERRUM_ASSIGN_OR_RETURN(text.tokenizer, Tokenizer::from_gguf(file));
  FERRUM_ASSIGN_OR_RETURN(text.chat_template, ChatTemplate::from_gguf(file, *text.tokenizer));
  return text;
}

// But for the fingerprint of the model.
KvIdentity kv_identity(const Gguf& file, const ModelSpec& spec, const Backend& backend, const EngineOptions& o) {
  KvIdentity id;
  std::vector<DType> weights;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.view.rank >= 2) weights.push_back(tensor.view.dtype);
  }
  id.arithmetic = backend.arithmetic(weights) + "/" + std::to_string(kKvArithmetic);
  id.dtype = o.kv_dtype;
  id.block_size = o.block_size;
  id.layers = spec.num_layers;
  id.kv_heads = spec.num_kv_heads;
  id.head_dim = spec.head_dim;
  id.window = spec.sliding_window;
  id.block_bytes = Runner::kv_block_bytes(spec, o.block_size, o.kv_dtype);
  id.vocab_size = spec.vocab_size;
  return id;
}

std::string describe_parts(const Parts& p, const Backend& backend, int64_t kv_bytes) {
  const std::string name = p.spec.name.empty() ? p.spec.architecture : p.spec.name + " (" + p.spec.architecture + ")";
  return name + " on " + backend.describe() + ", context " + std::to_string(p.options.max_model_len) + ", KV cache " +
         std::to_string(p.options.kv_blocks) + " x " + std::to_string(p.options.block_size) + " tokens of " +
         std::string(to_string(p.options.kv_dtype)) + " (" + format_bytes(kv_bytes) + ")" +
         (p.draft_model ? ", with a draft model" : "");
}

SchedulerLimits scheduler_limits(const EngineOptions& o) {
  SchedulerLimits limits;
  limits.max_seqs = o.max_seqs;
  limits.max_batched_tokens = o.max_batched_tokens;
  limits.max_logits = o.max_seqs + kScoredPositions;
  limits.max_waiting = o.max_waiting;
  limits.active_decode_prefill_chunk = o.active_decode_prefill_chunk;
  limits.prefill_first_until_active = o.prefill_first_until_active;
  limits.whole_prompts = o.whole_prompts;
  limits.policy = o.queue_policy;
  limits.ageing_ns = int64_t{o.ageing_seconds} * 1'000'000'000;
  return limits;
}

// Opens the draft model if that has not been done. Before the weights are read: afterwards the system counts them as
// page cache, which looks free. What the open files hold is part of the plan, not of what was there before.
Result<MemoryDemand> demand_of(const ModelFiles& files, const EngineOptions& options) {
  MemoryDemand demand;
  demand.options = options;
  if (options.threads == 0) demand.options.threads = process_cores();
  int64_t metadata = metadata_bytes(*files.target);
  if (!options.draft_model.empty()) {
    demand.draft = files.draft;
    if (demand.draft == nullptr) {
      FERRUM_ASSIGN_OR_RETURN(demand.draft, open_draft_model(options.draft_model));
      FERRUM_RETURN_IF_ERROR(check_draft_model(*files.target, *demand.draft));
    }
    metadata += metadata_bytes(*demand.draft);
  }
  if (options.backend == "cuda") demand.device_bytes = cuda_host().free_memory;
  demand.available = available_memory();
  if (demand.available) *demand.available += metadata;
  demand.process = process_memory();
  demand.process.anonymous = std::max<int64_t>(0, demand.process.anonymous - metadata);
  return demand;
}

// Makes the runner as planned. Fills core, runner and description.
Status build_runner(Parts& parts, std::unique_ptr<Backend> backend, std::unique_ptr<Model> model,
                    const MemoryPlan& plan) {
  const EngineOptions& o = parts.options;
  const auto num_blocks = static_cast<int>(o.kv_blocks);
  const int window = parts.draft_model ? wider_window(parts.spec.sliding_window, parts.draft_model->limits().window)
                                       : parts.spec.sliding_window;
  parts.core = {.scheduler = scheduler_limits(o),
                .requests = {parts.spec.vocab_size, o.max_model_len, parts.draft_model != nullptr, o.queue_policy,
                             parts.spec.hidden_size},
                .num_blocks = num_blocks,
                .block_size = o.block_size,
                .block_bytes = plan.kv_bytes_per_block,
                .window = window,
                .prefix_cache = o.prefix_cache,
                .speculation = o.speculation,
                .measure_costs = o.measure_guess_cost,
                .record = o.record};
  if (o.swap_bytes > 0) {
    FERRUM_ASSIGN_OR_RETURN(
        parts.core.swap,
        SwapSpace::create(o.swap_bytes, Runner::kv_block_bytes(parts.spec, o.block_size, o.kv_dtype), o.block_size));
  }
  parts.description = describe_parts(parts, *backend, o.kv_blocks * plan.kv_bytes_per_block);
  FERRUM_ASSIGN_OR_RETURN(parts.runner,
                          ModelStepRunner::create(std::move(backend), std::move(model), o, planned_logit_rows(o)));
  return Status::ok();
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::load(const std::string& model_path, const EngineOptions& options,
                                             const LoadProgress& progress) {
  FERRUM_RETURN_IF_ERROR(check_options(options));
  if (progress) progress(0.0, "opening " + model_path);
  ModelFiles files;
  FERRUM_ASSIGN_OR_RETURN(files.target, Gguf::open(model_path));
  return load(std::move(files), options, progress);
}

Result<std::unique_ptr<Engine>> Engine::load(ModelFiles files, const EngineOptions& options,
                                             const LoadProgress& progress) {
  const std::shared_ptr<const Gguf>& file = files.target;
  const auto report = [&](double fraction, const std::string& what) {
    if (progress) progress(fraction, what);
  };
  FERRUM_RETURN_IF_ERROR(check_options(options));
  FERRUM_ASSIGN_OR_RETURN(const MemoryDemand demand, demand_of(files, options));
  FERRUM_ASSIGN_OR_RETURN(const MemoryPlan plan, plan_memory(*file, demand));
  FERRUM_RETURN_IF_ERROR(plan.verdict);
  if (!plan.note.empty()) spdlog::warn("{}", plan.note);
  Parts parts;
  parts.options = plan.options;
  // Beside the weights, which take about as long. The future waits for it wherever this function ends.
  std::future<Result<Text>> text = std::async([file] { return load_text(*file); });
  report(0.1, "loading weights");
  FERRUM_ASSIGN_OR_RETURN(auto backend, make_model_backend(*file, plan.options));
  parts.kernels = backend->kernel_choices();
  report_rejected(parts.kernels);
  if (options.profile.any()) {
    parts.profile = std::make_shared<OpProfile>(options.profile);
    backend = profiled_backend(std::move(backend), parts.profile);
  }
  FERRUM_ASSIGN_OR_RETURN(auto model, load_model(file, *backend, [&](double fraction, const std::string& what) {
                            report(0.1 + 0.7 * fraction, what);
                          }));
  parts.spec = model->spec();
  if (demand.draft) {
    FERRUM_ASSIGN_OR_RETURN(parts.draft_model, load_draft_model(demand.draft, parts.spec, plan.options,
                                                                [&](double fraction, const std::string& what) {
                                                                  report(0.8 + 0.1 * fraction, "draft model: " + what);
                                                                }));
  }
  FERRUM_ASSIGN_OR_RETURN(Text loaded, text.get());
  parts.tokenizer = std::move(loaded.tokenizer);
  parts.chat_template = std::move(loaded.chat_template);
  if (options.expert_load_trace) {
    for (const std::string& line : describe_experts(*file)) spdlog::info("{}", line);
  }
  report(0.9, "allocating the KV cache");
  const KvIdentity kv = kv_identity(*file, parts.spec, *backend, plan.options);
  FERRUM_RETURN_IF_ERROR(build_runner(parts, std::move(backend), std::move(model), plan));
  parts.core.kv = kv;
  parts.file = file;
  parts.plan = plan;
  auto engine = std::make_unique<EngineImpl>(std::move(parts));
  if (options.warm_up) {
    report(0.95, "warming up");
    if (const Status status = engine->warm_up(); !status.is_ok()) return status.with_context("the warm-up failed");
  }
  report(1.0, "ready");
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace ferrum
