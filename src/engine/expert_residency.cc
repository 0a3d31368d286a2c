#include "engine/expert_residency.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>
#include <vector>

#include "base/file_pages.h"
#include "engine/memory.h"
#include "engine/model_backend.h"
#include "models/spec_reader.h"

namespace ferrum {
namespace {

constexpr int kMeasuredSteps = 6;

// Of one layer only: the pages of all others may be what somebody else is computing with.
void forget_experts(const Gguf& file, size_t layer) {
  const std::string prefix = "blk." + std::to_string(layer) + ".";
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.mapped && is_expert_tensor(tensor) && tensor.name.starts_with(prefix)) {
      forget_cached_pages(file.part_name(tensor.part), file.file_offset(tensor), tensor.bytes);
    }
  }
}

// Seconds of a step of one token with these experts.
double time_step(const Experts& experts, Ops& ops, std::vector<int32_t> ids, int64_t hidden) {
  std::vector<float> x(static_cast<size_t>(hidden), 1.0f), y(x.size());
  std::vector<float> weights(ids.size(), 1.0f / static_cast<float>(ids.size()));
  const auto top_k = static_cast<int64_t>(ids.size());
  Routing routing;
  routing.ids = View(ids.data(), DType::kI32, {1, top_k});
  routing.weights = View(weights.data(), DType::kF32, {1, top_k});
  const auto begin = std::chrono::steady_clock::now();
  experts.forward(ops, ConstView(x.data(), DType::kF32, {1, hidden}), routing,
                  View(y.data(), DType::kF32, {1, hidden}));
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

}  // namespace

Result<ExpertResidency> expert_residency(const DecoderWeights& weights, const BackendConfig& config, int64_t budget) {
  ExpertResidency r;
  int64_t per_place = 0;
  int top_k = 0;
  for (const LayerWeights& layer : weights.layers) {
    const ExpertsSpec& spec = layer.experts;
    if (spec.experts.empty()) continue;
    r.experts = static_cast<int>(spec.experts.size());
    top_k = spec.top_k;
    per_place += expert_slot_bytes(config, spec);
    int64_t layer_bytes = 0;
    for (const ExpertWeights& expert : spec.experts) layer_bytes += stored_bytes(expert);
    r.token_bytes += layer_bytes / r.experts * top_k;
  }
  if (budget == 0 || per_place == 0 || budget / per_place >= r.experts) return r;
  r.places = static_cast<int>(budget / per_place);
  r.cache_bytes = r.places * per_place;
  if (r.places >= top_k) return r;
  return invalid_argument(
      "experts get " + format_bytes(budget) +
      " of memory (FERRUM_EXPERT_CACHE, or what the other weights leave), too little for those that "
      "one token needs in each layer: they take " +
      format_bytes(top_k * per_place));
}

Result<ExpertSeconds> measure_expert_seconds(const Gguf& file, const EngineOptions& options) {
  FERRUM_ASSIGN_OR_RETURN(const ModelSpec spec, read_model_spec(file));
  FERRUM_ASSIGN_OR_RETURN(DecoderWeights weights, bind_weights(file, spec));
  const size_t middle = weights.layers.size() / 2;
  ExpertsSpec& layer = weights.layers[middle].experts;
  const int count = static_cast<int>(layer.experts.size()), top_k = layer.top_k;
  BackendConfig config = backend_config(options);
  config.limits.max_tokens = 1;
  config.limits.resident_experts = top_k;
  FERRUM_ASSIGN_OR_RETURN(const auto backend, make_backend(config));
  FERRUM_ASSIGN_OR_RETURN(const auto experts, backend->make_experts(std::move(layer)));
  forget_experts(file, middle);
  std::vector<double> hits, misses;
  for (int step = 0; step < kMeasuredSteps && (step + 1) * top_k <= count; ++step) {
    std::vector<int32_t> ids(static_cast<size_t>(top_k));
    std::iota(ids.begin(), ids.end(), step * top_k);
    misses.push_back(time_step(*experts, backend->ops(), ids, spec.hidden_size));
    hits.push_back(time_step(*experts, backend->ops(), ids, spec.hidden_size));
  }
  return ExpertSeconds{median(hits), median(misses)};
}

}  // namespace ferrum
