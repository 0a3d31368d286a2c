#include "models/registry.h"

#include "models/decoder.h"
#include "models/spec_reader.h"
#include "models/weights.h"

namespace ferrum {
namespace {

Result<std::unique_ptr<Model>> load(const std::shared_ptr<const Gguf>& file, Backend& backend,
                                    const LoadProgress& progress) {
  FERRUM_ASSIGN_OR_RETURN(ModelSpec spec, read_model_spec(*file));
  FERRUM_ASSIGN_OR_RETURN(DecoderWeights weights, bind_weights(*file, spec));
  // Every architecture of models/architecture.h has this wiring today; one that needs another is told apart here.
  FERRUM_ASSIGN_OR_RETURN(auto model,
                          DecoderModel::create(std::move(spec), std::move(weights), file, backend, progress));
  return std::unique_ptr<Model>(std::move(model));
}

}  // namespace

Result<std::unique_ptr<Model>> load_model(const std::shared_ptr<const Gguf>& file, Backend& backend,
                                          const LoadProgress& progress) {
  Result<std::unique_ptr<Model>> model = load(file, backend, progress);
  if (!model.is_ok()) return model.status().with_context(file->path());
  return model;
}

int64_t workspace_bytes(const ModelSpec& spec, int max_tokens, int max_logits) {
  return DecoderModel::workspace_bytes(spec, max_tokens, max_logits);
}

}  // namespace ferrum
