#include "engine/roofline.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "models/weights.h"

namespace ferrum {
namespace {

// share: of the elements that a token is multiplied with.
void add_matrix(const GgufTensor& tensor, MatrixWork& work, double share = 1) {
  const double elements = static_cast<double>(tensor.view.elements()) * share;
  work.bytes += static_cast<double>(tensor.bytes);
  if (info(tensor.view.dtype).quantized) {
    work.int8 += elements;
  } else if (tensor.view.dtype == DType::kBF16) {
    work.bf16 += elements;
  } else {
    work.f32 += elements;
  }
}

double seconds_at(double operations, double rate) { return rate > 0 ? operations / rate : 0; }

}  // namespace

Roofline::Roofline(const Gguf& file, const ModelSpec& spec, double kv_bytes_per_token)
    : kv_bytes_per_token_(kv_bytes_per_token), window_(spec.sliding_window) {
  const std::string_view head = spec.tied_head ? "token_embd.weight" : "output.weight";
  if (spec.moe) used_share_ = static_cast<double>(spec.moe->router.top_k) / spec.moe->router.num_experts;
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.view.rank < 2) continue;
    if (is_expert_tensor(tensor)) {
      add_matrix(tensor, experts_, used_share_);
    } else if (tensor.name == head) {
      add_matrix(tensor, head_);
    } else if (tensor.name != "token_embd.weight") {
      add_matrix(tensor, body_);
    }
  }
  // Scores and values: a multiply-add each per element of a head.
  attention_ops_per_position_ = 4.0 * spec.num_layers * spec.num_heads * spec.head_dim;
}

double Roofline::visible(int position) const {
  const int all = position + 1;
  return window_ > 0 ? std::min(all, window_) : all;
}

Roofline::Bound Roofline::of_step(const BenchStep& step, const MachineRates& rates) const {
  double tokens = 0, logits = 0, kv_positions = 0, attended = 0;
  for (const BenchPiece& piece : step) {
    tokens += piece.count;
    logits += piece.wants_logits ? 1 : 0;
    const int end = piece.begin + piece.count;
    // From the first position that the piece's first token sees.
    kv_positions += end - (piece.begin + 1 - visible(piece.begin));
    for (int position = piece.begin; position < end; ++position) attended += visible(position);
  }
  // Of the experts, those that one of the tokens is expected to choose: all choices equally likely.
  const double chosen = 1 - std::pow(1 - used_share_, tokens);
  const double bytes =
      body_.bytes + chosen * experts_.bytes + (logits > 0 ? head_.bytes : 0) + kv_positions * kv_bytes_per_token_;
  const auto operations = [&](double MatrixWork::*kind) {
    return 2 * (tokens * (body_.*kind + experts_.*kind) + logits * head_.*kind);
  };
  const PeakRates& peak = rates.peak;
  const double bf16_rate = peak.bf16 > 0 ? peak.bf16 : peak.f32;
  Bound bound;
  bound.memory_seconds = seconds_at(bytes, rates.bandwidth);
  bound.compute_seconds =
      seconds_at(operations(&MatrixWork::int8), peak.int8) + seconds_at(operations(&MatrixWork::bf16), bf16_rate) +
      seconds_at(operations(&MatrixWork::f32), peak.f32) +
      seconds_at(attended * attention_ops_per_position_, std::max({peak.int8, peak.f32, bf16_rate}));
  return bound;
}

}  // namespace ferrum
