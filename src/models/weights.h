// The tensors of a GGUF file by the role they play in the network, with every shape and type checked.
#pragma once

#include <vector>

#include "base/status.h"
#include "io/gguf.h"
#include "ops/experts.h"
#include "ops/linear.h"
#include "types/model_spec.h"

namespace ferrum {

// Views point into the file's mapping. H hidden size, D head size; where the norm of Q and K is over all heads, theirs
// are as wide as Q and K.
struct LayerWeights {
  ConstView attn_norm;  // f32 [H]
  ConstView q_norm;     // f32 [D]; rank 0 = none
  ConstView k_norm;     // f32 [D]; rank 0 = none
  ConstView ffn_norm;   // f32 [H]
  LinearSpec qkv;       // {q, k, v}, or the one matrix of a file that stores them fused; biases where the file has them
  LinearSpec attn_output;
  // The feed-forward that every token goes through; in layers with experts, the one they share (no parts: none).
  LinearSpec gate_up;  // {gate, up}, or the one matrix of a file that stores them fused
  LinearSpec ffn_down;
  LinearSpec router;      // [experts, H], then the shared expert's gate [1, H]; no parts: a layer without experts
  ConstView router_bias;  // f32 [experts]; rank 0 = none
  ExpertsSpec experts;
};

struct DecoderWeights {
  ConstView embedding;  // [vocab, H] of any weight type
  std::vector<LayerWeights> layers;
  ConstView output_norm;  // f32 [H]
  LinearSpec head;        // the embedding itself where the file ties them
};

// Whether a tensor holds experts: those of a layer in one tensor, or one of them, as files of 2024 have it
// ("blk.3.ffn_up.17.weight").
bool is_expert_tensor(const GgufTensor& tensor);

// kCorrupt, naming the tensor, if an element of the layer's router is NaN or infinite (those of float types are looked
// at): all tokens would end in an error. Ok for a layer without a router.
Status check_router(const LayerWeights& layer);

// kNotFound names a missing tensor, kCorrupt one of the wrong shape (wanted and found), kUnsupported one whose type its
// role does not allow, or one that the network of this architecture has no place for (to ignore it would compute
// something else than the file means).
Result<DecoderWeights> bind_weights(const Gguf& file, const ModelSpec& spec);

}  // namespace ferrum
