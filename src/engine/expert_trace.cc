#include "engine/expert_trace.h"

#include <set>
#include <string_view>

#include "engine/memory.h"
#include "models/spec_reader.h"
#include "models/weights.h"

namespace ferrum {
namespace {

// "gate Q4_K 1.2 MiB", with every type that occurs.
std::string describe_role(const char* name, const ExpertsSpec& spec, WeightRef ExpertWeights::*role) {
  std::set<std::string_view> types;
  size_t bytes = 0;
  for (const ExpertWeights& expert : spec.experts) {
    const ConstView& matrix = (expert.*role).matrix;
    types.insert(to_string(matrix.dtype));
    bytes += bytes_of(matrix.dtype, matrix.elements());
  }
  std::string text = name;
  const char* between = " ";
  for (const std::string_view type : types) {
    text.append(between).append(type);
    between = "+";
  }
  return text.append(" ").append(format_bytes(static_cast<int64_t>(bytes)));
}

}  // namespace

std::vector<std::string> describe_experts(const Gguf& file) {
  std::vector<std::string> lines;
  const Result<ModelSpec> spec = read_model_spec(file);
  if (!spec.is_ok() || !spec->moe) return lines;
  const Result<DecoderWeights> weights = bind_weights(file, *spec);
  for (size_t layer = 0; weights.is_ok() && layer < weights->layers.size(); ++layer) {
    const ExpertsSpec& experts = weights->layers[layer].experts;
    const ConstView& gate = experts.experts[0].gate.matrix;
    lines.push_back("layer " + std::to_string(layer) + ": " + std::to_string(experts.experts.size()) + " experts of " +
                    std::to_string(gate.dim(1)) + " x " + std::to_string(gate.dim(0)) + ", " +
                    describe_role("gate", experts, &ExpertWeights::gate) + ", " +
                    describe_role("up", experts, &ExpertWeights::up) + ", " +
                    describe_role("down", experts, &ExpertWeights::down));
  }
  return lines;
}

}  // namespace ferrum
