// What a backend can compute: the vocabulary that models are written in.
//
// Activations are float32 [tokens, features] on the CPU backends (a device backend may choose another type: the dtype
// travels in the view). All views are on the backend's device. Shapes are the caller's promise and are asserted.
//
// Determinism: the result of a token's row never depends on which other rows are in the batch, on how a prompt was cut
// into chunks, or on the number of threads. An implementation therefore fixes the order of additions per output element
// (GEMV and GEMM paths included) and walks the KV of a token from position 0 (or its window's first block) upwards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "tensor/view.h"
#include "types/batch.h"
#include "types/model_spec.h"
#include "types/moe_spec.h"

namespace ferrum {

// The arrays of a Batch on the backend's device (for CPU backends: views of the Batch itself, which must outlive it).
struct DeviceBatch {
  int num_tokens = 0;      // T
  int num_rows = 0;        // R
  int num_logits = 0;      // L
  int max_blocks = 0;      // width of block_tables
  ConstView tokens;        // i32 [T]; kNoToken where an embedding stands
  ConstView embeddings;    // f32 [E, hidden]; rank 0 where none does
  ConstView positions;     // i32 [T]
  ConstView slots;         // i32 [T]
  ConstView token_rows;    // i32 [T]
  ConstView cu_q;          // i32 [R + 1]
  ConstView kv_lens;       // i32 [R]
  ConstView block_tables;  // i32 [R, max_blocks]
  ConstView logit_rows;    // i32 [L]
  // On the host, whatever the device. Where the tokens' first activations come from, in the order of the tokens:
  struct InputRun {
    int begin = 0, count = 0;  // tokens
    int first_embedding = -1;  // row of `embeddings` that the run begins with; -1 = the run has ids
  };
  std::vector<InputRun> inputs;
  // Which rows want hidden states, and whether after the final norm.
  struct HiddenRun {
    int begin = 0, count = 0;  // tokens
    bool normed = false;
  };
  std::vector<HiddenRun> hidden;  // empty = nobody wants any
};

// Paged K and V of one layer. Each is [num_blocks, num_kv_heads, block_size, head_dim] of a type of kv_dtype.h; the
// order of elements within a block is the backend's own. Where the type has scales they are f32 [num_blocks,
// num_kv_heads, block_size], else of rank 0.
struct KvLayer {
  View k, v;
  View k_scale = {}, v_scale = {};
};

struct KvCache {
  std::vector<KvLayer> layers;
  DType dtype = DType::kF16;
  int block_size = 16;
  int num_blocks = 0;
};

// How attention is to be computed for one step; the same for every layer.
struct AttentionPlan {
  const DeviceBatch* batch = nullptr;
  int num_heads = 0;
  int num_kv_heads = 0;  // divides num_heads; head h reads KV head h / (num_heads / num_kv_heads)
  int head_dim = 0;
  int block_size = 16;
  int sliding_window = 0;  // position p sees positions max(0, p - window + 1) .. p; 0 = all of them
  float scale = 1.0f;      // on the scores, usually 1 / sqrt(head_dim)
};

// Per-head norm (where the model has one), rotation, and storing into the paged cache, for all tokens of a step.
struct QkvArgs {
  View q;            // f32 [T, num_heads * head_dim], rotated in place (may be a column slice)
  View k;            // f32 [T, num_kv_heads * head_dim], read (may be overwritten)
  ConstView v;       // f32 [T, num_kv_heads * head_dim]
  ConstView q_norm;  // f32 [head_dim]; rank 0 = no norm
  ConstView k_norm;  // f32 [head_dim]; rank 0 = no norm
  float norm_eps = 0;
  ConstView cos_sin;  // f32 [T, rope_dim]: cos of each pair, then sin of each pair
  RopeLayout layout = RopeLayout::kInterleaved;
  int rope_dim = 0;  // elements per head that rotate; the rest passes through
  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  KvLayer kv;
  int block_size = 16;
  ConstView slots;  // i32 [T]
};

// The experts of a step's tokens.
struct Routing {
  View ids;      // i32 [T, top_k]
  View weights;  // f32 [T, top_k]
  View shared;   // f32 [T]: weight of a gated shared expert; rank 0 = there is none
};

struct RouteArgs {
  RouterSpec spec;
  ConstView logits;  // f32 [T, num_experts], or one more column where out.shared is wanted: the logit of its gate
  ConstView bias;    // f32 [num_experts], for the choice only; rank 0 = none
  Routing out;
  // i64 [num_experts + 1], added to: tokens that chose each expert, and last those whose logits are no numbers.
  View load;
};

// Parts of what Experts does, for profiles. Which of them an implementation does as one is its own matter.
enum class ExpertPhase { kPlan, kGather, kLoad, kGateUp, kActivation, kDown, kCombine, kDone };

class Ops {
 public:
  virtual ~Ops() = default;

  // What follows belongs to this layer of the model (-1: to none). For profiles; computes nothing.
  virtual void enter_layer(int /*layer*/) {}
  // What follows is this part of the experts; kDone: no longer. For profiles; computes nothing.
  virtual void enter_phase(ExpertPhase /*phase*/) {}

  // y[t] = table[ids[t]], dequantised to f32. table: any dtype [vocab, hidden]; ids: i32 [T]; y: f32 [T, hidden].
  virtual void embed(ConstView table, ConstView ids, View y) = 0;
  // y = x / sqrt(mean(x^2) + eps) * weight, by row; the mean is accumulated in double or in a fixed pairwise order.
  // x, y: f32 [T, n]; weight: f32 [n]. y may be x.
  virtual void rms_norm(ConstView x, ConstView weight, float eps, View y) = 0;
  // residual += delta; y = rms_norm(residual). All f32 [T, n].
  virtual void add_rms_norm(View residual, ConstView delta, ConstView weight, float eps, View y) = 0;
  // x += delta. f32 [T, n].
  virtual void add(View x, ConstView delta) = 0;
  // cos_sin[t] = (cos(p * f_0) .. cos(p * f_{n-1}), sin(p * f_0) ..) * magnitude. positions: i32 [T];
  // inv_freq: f32 [n]; cos_sin: f32 [T, 2 n]. Angles are formed in float32 (position times frequency), as the
  // checkpoints' reference implementations do.
  virtual void rope_cos_sin(ConstView positions, ConstView inv_freq, float magnitude, View cos_sin) = 0;
  virtual void norm_rope_store(const QkvArgs& args) = 0;
  // out[t, h] = softmax(scale * q[t, h] . K[0..p]) V over the token's visible positions, read through the block tables.
  // q (may be a column slice), out: f32 [T, num_heads * head_dim].
  virtual void attention(const AttentionPlan& plan, ConstView q, const KvLayer& kv, View out) = 0;
  // y[t, i] = silu(gate_up[t, i]) * gate_up[t, n + i]. gate_up: f32 [T, 2 n]; y: f32 [T, n].
  virtual void silu_mul(ConstView gate_up, View y) = 0;
  // y[i] = x[rows[i]]. x: f32 [T, n]; rows: i32 [L]; y: f32 [L, n].
  virtual void gather_rows(ConstView x, ConstView rows, View y) = 0;
  // As moe/router.h defines it: equal on every backend for equal logits, up to the rounding of exp.
  virtual void route(const RouteArgs& args) = 0;
  // x[t] += scale[t] * delta[t]. x, delta: f32 [T, n]; scale: f32 [T].
  virtual void add_scaled(View x, ConstView delta, ConstView scale) = 0;
};

}  // namespace ferrum
