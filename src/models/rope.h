// Rotary position embedding: from a checkpoint's parameters to the frequency of each pair.
//
// Sources: RoFormer (arXiv 2104.09864); position interpolation (2306.15595); the Llama 3.1 model card's frequency
// bands; YaRN (2309.00071). What is computed agrees with Hugging Face transformers' modeling_rope_utils.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "types/model_spec.h"

namespace ferrum {

enum class RopeScaling {
  kNone,
  kLinear,  // every frequency divided by `factor`
  kLlama3,  // long wavelengths divided by `factor`, short ones kept, a ramp between
  kYarn,    // NTK-by-parts, and a factor on cos and sin
};

struct RopeParams {
  RopeLayout layout = RopeLayout::kInterleaved;
  int dim = 0;          // rotated elements per head; even, > 0
  double base = 10000;  // finite, > 0
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1;             // finite, > 0
  int64_t original_context = 0;  // positions before the stretch; kLlama3 and kYarn need it
  double low_freq_factor = 1;    // kLlama3
  double high_freq_factor = 4;   // kLlama3
  double beta_fast = 32;         // kYarn: rotations over original_context above which a pair is kept,
  double beta_slow = 1;          //        and below which it is divided by `factor`
  double attention_factor = 1;   // kYarn: multiplies the paper's 0.1 ln(factor) + 1
};

// divisors: of each pair's frequency before any scaling (the tensor rope_freqs.weight), [dim / 2], or empty.
// kInvalidArgument names the parameter that makes no sense.
Result<RopeSpec> make_rope(const RopeParams& params, std::span<const float> divisors);

}  // namespace ferrum
