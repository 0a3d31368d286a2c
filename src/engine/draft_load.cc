#include "engine/draft_load.h"

#include <algorithm>

#include "base/log.h"
#include "base/quote.h"
#include "engine/model_backend.h"
#include "engine/model_step_runner.h"
#include "models/registry.h"

namespace ferrum {
namespace {

Result<const std::vector<std::string>*> tokens_of(const Gguf& file) {
  FERRUM_ASSIGN_OR_RETURN(const std::vector<std::string>* const tokens, file.get_strings("tokenizer.ggml.tokens"));
  if (tokens == nullptr || tokens->empty()) return invalid_argument("the draft model needs a vocabulary to compare");
  return tokens;
}

}  // namespace

Result<std::shared_ptr<const Gguf>> open_draft_model(const std::string& path) {
  if (path.empty()) return std::shared_ptr<const Gguf>();
  auto file = Gguf::open(path);
  if (!file.is_ok()) return file.status().with_context("the draft model");
  return file;
}

Status check_draft_model(const Gguf& target, const Gguf& draft) {
  FERRUM_ASSIGN_OR_RETURN(const auto kind, target.get_string("tokenizer.ggml.model"));
  FERRUM_ASSIGN_OR_RETURN(const auto other_kind, draft.get_string("tokenizer.ggml.model"));
  if (kind != other_kind) {
    return invalid_argument("the draft model's tokenizer is of the kind " +
                            ferrum::quoted(other_kind.value_or("none")) + ", the model's of the kind " +
                            ferrum::quoted(kind.value_or("none")) + ": a draft model must have the model's vocabulary");
  }
  FERRUM_ASSIGN_OR_RETURN(const std::vector<std::string>* const tokens, tokens_of(target));
  FERRUM_ASSIGN_OR_RETURN(const std::vector<std::string>* const others, tokens_of(draft));
  const size_t both = std::min(tokens->size(), others->size());
  const auto differs =
      std::mismatch(tokens->begin(), tokens->begin() + static_cast<std::ptrdiff_t>(both), others->begin());
  const auto id = static_cast<size_t>(differs.first - tokens->begin());
  if (id == both) return Status::ok();
  return invalid_argument("token " + std::to_string(id) + " is " + ferrum::quoted((*others)[id]) +
                          " in the draft model's vocabulary and " + ferrum::quoted((*tokens)[id]) +
                          " in the model's: a draft model must have the model's vocabulary");
}

EngineOptions draft_options(const EngineOptions& target) {
  EngineOptions o = target;
  o.max_batched_tokens += target.max_seqs;
  o.expert_cache_bytes = 0;  // the budget is the target's
  return o;
}

int draft_logit_rows(const EngineOptions& target) { return target.max_seqs; }

int wider_window(int target, int draft) { return target == 0 || draft == 0 ? 0 : std::max(target, draft); }

Result<std::unique_ptr<DraftModel>> load_draft_model(const std::shared_ptr<const Gguf>& file, const ModelSpec& target,
                                                     const EngineOptions& options, const LoadProgress& progress) {
  const EngineOptions o = draft_options(options);
  FERRUM_ASSIGN_OR_RETURN(auto backend, make_model_backend(*file, o));
  report_rejected(backend->kernel_choices());
  FERRUM_ASSIGN_OR_RETURN(auto model, load_model(file, *backend, progress));
  const ModelSpec& spec = model->spec();
  DraftModelLimits limits;
  limits.num_blocks = static_cast<int>(o.kv_blocks);
  limits.block_size = o.block_size;
  limits.max_tokens = o.max_batched_tokens;
  limits.vocab_size = static_cast<int>(spec.vocab_size);
  limits.target_vocab_size = static_cast<int>(target.vocab_size);
  limits.max_context = spec.max_context;
  limits.window = spec.sliding_window;
  limits.keeps_up = wider_window(target.sliding_window, spec.sliding_window) > 0;
  if (spec.max_context < o.max_model_len) {
    spdlog::warn("the draft model was trained for {} positions: from there on it does not guess", spec.max_context);
  }
  FERRUM_ASSIGN_OR_RETURN(auto runner,
                          ModelStepRunner::create(std::move(backend), std::move(model), o, draft_logit_rows(options)));
  return std::make_unique<DraftModel>(limits, std::move(runner));
}

}  // namespace ferrum
