// The least time a machine needs for a step: memory that must be read over its bandwidth, or operations over its peak,
// whichever is longer.
//
// Roofline model: Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore
// architectures", CACM 52 (2009). What is left out (norms, activations, the embedding's rows, writing K and V) makes
// the bound lower, never higher. Of experts a step is charged those that its tokens choose if every choice is equally
// likely: more than tokens need that agree.
#pragma once

#include "backend/peak_rates.h"
#include "engine/bench_steps.h"
#include "io/gguf.h"
#include "types/model_spec.h"

namespace ferrum {

struct MachineRates {
  double bandwidth = 0;  // bytes per second read from memory; 0 = not measured
  PeakRates peak;
};

// Elements and bytes of matrices that each token (body) or each row of logits (head) is multiplied with, by the
// arithmetic that their type allows.
struct MatrixWork {
  double bytes = 0;
  double int8 = 0, bf16 = 0, f32 = 0;  // elements
};

class Roofline {
 public:
  struct Bound {
    double memory_seconds = 0, compute_seconds = 0;
    double seconds() const { return memory_seconds > compute_seconds ? memory_seconds : compute_seconds; }
  };

  // kv_bytes_per_token: K and V of one position over all layers.
  Roofline(const Gguf& file, const ModelSpec& spec, double kv_bytes_per_token);

  // Weights are read once per step, the head only if the step wants logits; K and V once per sequence, as far as its
  // window reaches. Attention counts at the fastest peak. A rate that was not measured bounds nothing.
  Bound of_step(const BenchStep& step, const MachineRates& rates) const;

  const MatrixWork& body() const { return body_; }
  const MatrixWork& head() const { return head_; }
  const MatrixWork& experts() const { return experts_; }  // bytes of all, elements of those that a token goes through

 private:
  double visible(int position) const;

  MatrixWork body_, head_, experts_;
  double used_share_ = 0;  // of the experts, by a token
  double kv_bytes_per_token_ = 0;
  double attention_ops_per_position_ = 0;  // of one token looking at one position, all layers
  int window_ = 0;
};

}  // namespace ferrum
