// The composition root: the one place that knows file, model, backend, runner, tokenizer and template together.
#include "engine/engine.h"

#include <algorithm>

#include "backend/registry.h"
#include "base/cores.h"
#include "base/log.h"
#include "engine/engine_core.h"
#include "engine/kv_sizing.h"
#include "engine/memory.h"
#include "engine/model_step_runner.h"
#include "io/gguf.h"
#include "models/registry.h"

namespace ferrum {
namespace {

// Prompt positions of a step that may be scored for prompt_logprobs, besides one sampled position per sequence. Each
// costs a row of the vocabulary, 0.6 MB at 150,000 tokens.
constexpr int kScoredPositions = 64;

Status check_range(const char* name, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return Status::ok();
  return invalid_argument(std::string(name) + " must be between " + std::to_string(low) + " and " +
                          std::to_string(high) + ", got " + std::to_string(value));
}

Status check_options(const EngineOptions& o) {
  FERRUM_RETURN_IF_ERROR(check_range("max_seqs", o.max_seqs, 1, 4096));
  FERRUM_RETURN_IF_ERROR(check_range("max_batched_tokens", o.max_batched_tokens, 1, 65536));
  FERRUM_RETURN_IF_ERROR(check_range("max_waiting", o.max_waiting, 0, 1 << 20));
  FERRUM_RETURN_IF_ERROR(check_range("max_model_len", o.max_model_len, 0, 1 << 30));
  FERRUM_RETURN_IF_ERROR(check_range("block_size", o.block_size, 1, 1024));
  FERRUM_RETURN_IF_ERROR(check_range("kv_blocks", o.kv_blocks, 0, int64_t{1} << 31));
  FERRUM_RETURN_IF_ERROR(check_range("threads", o.threads, 0, 1024));
  FERRUM_RETURN_IF_ERROR(check_range("active_decode_prefill_chunk", o.active_decode_prefill_chunk, 0, 65536));
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
  ModelSpec spec;
  std::string description;
  CoreOptions core;
  std::unique_ptr<StepRunner> runner;
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const ChatTemplate> chat_template;
};

class EngineImpl final : public Engine {
 public:
  explicit EngineImpl(Parts parts)
      : options_(std::move(parts.options)),
        spec_(std::move(parts.spec)),
        description_(std::move(parts.description)),
        tokenizer_(parts.tokenizer),
        chat_template_(std::move(parts.chat_template)),
        core_(parts.core, std::move(parts.runner), std::move(parts.tokenizer)) {}

  Result<RequestId> submit(Request request, EventSink sink) override {
    return core_.submit(std::move(request), std::move(sink));
  }
  void cancel(RequestId request) override { core_.cancel(request); }
  void start() override { core_.start(); }
  void drain() override { core_.drain(); }
  Result<bool> step() override { return core_.step(); }
  const EngineOptions& options() const override { return options_; }
  const ModelSpec& model() const override { return spec_; }
  std::shared_ptr<const Tokenizer> tokenizer() const override { return tokenizer_; }
  std::shared_ptr<const ChatTemplate> chat_template() const override { return chat_template_; }
  std::string describe() const override { return description_; }
  EngineStats stats() const override { return core_.stats(); }

 private:
  const EngineOptions options_;
  const ModelSpec spec_;
  const std::string description_;
  const std::shared_ptr<const Tokenizer> tokenizer_;
  const std::shared_ptr<const ChatTemplate> chat_template_;
  EngineCore core_;
};

KvDemand kv_demand(const EngineOptions& o, const ModelSpec& spec, std::optional<int64_t> free_bytes) {
  KvDemand d;
  d.block_bytes = Runner::kv_block_bytes(spec, o.block_size, o.kv_dtype);
  d.block_size = o.block_size;
  d.max_seqs = o.max_seqs;
  d.model_context = spec.max_context;
  d.max_model_len = o.max_model_len;
  d.kv_blocks = o.kv_blocks;
  d.memory_fraction = o.kv_memory_fraction;
  d.free_bytes = free_bytes;
  return d;
}

std::string describe_parts(const Parts& p, const Backend& backend, int64_t kv_bytes) {
  const std::string name = p.spec.name.empty() ? p.spec.architecture : p.spec.name + " (" + p.spec.architecture + ")";
  return name + " on " + backend.describe() + ", context " + std::to_string(p.options.max_model_len) + ", KV cache " +
         std::to_string(p.options.kv_blocks) + " x " + std::to_string(p.options.block_size) + " tokens of " +
         std::string(to_string(p.options.kv_dtype)) + " (" + format_bytes(kv_bytes) + ")";
}

// Chooses the KV pool and makes the runner. Fills options, core, runner and description.
Status build_runner(Parts& parts, std::unique_ptr<Backend> backend, std::unique_ptr<Model> model,
                    std::optional<int64_t> free_bytes) {
  EngineOptions& o = parts.options;
  FERRUM_ASSIGN_OR_RETURN(const KvSizing kv, size_kv(kv_demand(o, parts.spec, free_bytes)));
  if (!kv.note.empty()) spdlog::warn("{}", kv.note);
  o.max_model_len = kv.max_model_len;
  o.kv_blocks = kv.num_blocks;

  const int max_logits = o.max_seqs + kScoredPositions;
  parts.core = {{o.max_seqs, o.max_batched_tokens, max_logits, o.max_waiting, o.active_decode_prefill_chunk,
                 o.prefill_first_until_active, o.whole_prompts},
                {parts.spec.vocab_size, o.max_model_len},
                kv.num_blocks,
                o.block_size};
  parts.description =
      describe_parts(parts, *backend, kv.num_blocks * Runner::kv_block_bytes(parts.spec, o.block_size, o.kv_dtype));
  RunnerOptions runner_options;
  runner_options.max_tokens = o.max_batched_tokens;
  runner_options.max_logits = std::min(max_logits, o.max_batched_tokens);
  runner_options.num_blocks = kv.num_blocks;
  runner_options.block_size = o.block_size;
  runner_options.kv_dtype = o.kv_dtype;
  FERRUM_ASSIGN_OR_RETURN(auto runner, Runner::create(std::move(backend), std::move(model), runner_options));
  parts.runner = std::make_unique<ModelStepRunner>(std::move(runner));
  return Status::ok();
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::load(const std::string& model_path, const EngineOptions& options,
                                             const LoadProgress& progress) {
  const auto report = [&](double fraction, const std::string& what) {
    if (progress) progress(fraction, what);
  };
  FERRUM_RETURN_IF_ERROR(check_options(options));
  Parts parts;
  parts.options = options;
  if (options.threads == 0) parts.options.threads = process_cores();

  report(0.0, "opening " + model_path);
  FERRUM_ASSIGN_OR_RETURN(const std::shared_ptr<const Gguf> file, Gguf::open(model_path));
  // Before the weights are read: afterwards the system counts them as page cache, which looks free.
  std::optional<int64_t> free_bytes = available_memory();
  if (free_bytes) *free_bytes = std::max<int64_t>(0, *free_bytes - static_cast<int64_t>(file->file_bytes()));

  FERRUM_ASSIGN_OR_RETURN(parts.tokenizer, Tokenizer::from_gguf(*file));
  FERRUM_ASSIGN_OR_RETURN(parts.chat_template, ChatTemplate::from_gguf(*file, *parts.tokenizer));
  report(0.1, "loading weights");
  BackendConfig config{options.backend, options.isa, parts.options.threads, {options.max_batched_tokens}};
  FERRUM_ASSIGN_OR_RETURN(auto backend, make_backend(config));
  FERRUM_ASSIGN_OR_RETURN(auto model, load_model(file, *backend, [&](double fraction, const std::string& what) {
                            report(0.1 + 0.8 * fraction, what);
                          }));
  parts.spec = model->spec();
  report(0.9, "allocating the KV cache");
  FERRUM_RETURN_IF_ERROR(build_runner(parts, std::move(backend), std::move(model), free_bytes));
  report(1.0, "ready");
  return std::unique_ptr<Engine>(std::make_unique<EngineImpl>(std::move(parts)));
}

}  // namespace ferrum
