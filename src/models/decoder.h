// The one wiring of the Llama family: Llama, Mistral, Qwen2, Qwen3, and with experts Mixtral, Qwen2-MoE, Qwen3-MoE,
// OLMoE.
//
//   x = embedding[tokens], or input embeddings
//   per layer   h = rms_norm(x)                     q|k|v = h Wqkv (+ b)
//               q, k = rope(head_norm?(q, k))       store k, v in the paged cache
//               x += attention(q, cache) Wo         h = rms_norm(x)
//               x += (silu(h Wgate) * (h Wup)) Wdown        and, or, the sum of the experts that h Wrouter chooses
//   logits = rms_norm(x) Whead, of the wanted rows only
//
// What differs between members is data: ModelSpec, absent norms and biases, how the projections are stored.
#pragma once

#include <memory>
#include <vector>

#include "models/model.h"
#include "models/weights.h"
#include "types/progress.h"

namespace ferrum {

class DecoderModel final : public Model {
 public:
  // storage keeps the memory under `weights` (the mapped file) alive. Fails where the backend refuses a weight.
  static Result<std::unique_ptr<DecoderModel>> create(ModelSpec spec, DecoderWeights weights,
                                                      std::shared_ptr<const void> storage, Backend& backend,
                                                      const LoadProgress& progress);

  // Bytes of make_workspace()'s buffer for a model of this shape: for plans made before there is a model.
  static int64_t workspace_bytes(const ModelSpec& spec, int max_tokens, int max_logits);

  const ModelSpec& spec() const override { return spec_; }
  Result<Workspace> make_workspace(Backend& backend, int max_tokens, int max_logits) const override;
  ForwardResult forward(Ops& ops, const DeviceBatch& batch, const KvCache& kv, Workspace& workspace) const override;

 private:
  struct Layer {
    ConstView attn_norm, q_norm, k_norm, ffn_norm;
    std::unique_ptr<Linear> qkv, attn_output, gate_up, ffn_down;
    std::unique_ptr<Linear> router;
    ConstView router_bias;
    std::unique_ptr<Experts> experts;
  };
  struct Activations;
  // Byte offsets of the activations in a workspace.
  struct Layout {
    size_t residual, wide, wider, cos_sin, logit_residual, logits;
    size_t router_logits, expert_ids, expert_weights, shared_weights, shared, expert_load;  // nothing without experts
    size_t total;
  };

  DecoderModel(ModelSpec spec, std::shared_ptr<const void> storage)
      : spec_(std::move(spec)), storage_(std::move(storage)) {}

  static Result<Layer> place_layer(LayerWeights& weights, Backend& backend);
  static Layout layout(const ModelSpec& spec, int max_tokens, int max_logits);
  Activations activations(const DeviceBatch& batch, const Workspace& workspace) const;
  void read_inputs(Ops& ops, const DeviceBatch& batch, const Workspace& workspace, View x) const;
  void attend(Ops& ops, const Layer& layer, const DeviceBatch& batch, const KvLayer& kv, int block_size,
              const Activations& a, bool only_store) const;
  void feed_forward(Ops& ops, size_t layer, View residual, ConstView attended, const Activations& a) const;
  void mix_experts(Ops& ops, size_t layer, ConstView normed, const Activations& a) const;
  AttentionPlan attention_plan(const DeviceBatch& batch, int block_size) const;

  static int64_t q_size(const ModelSpec& spec) { return static_cast<int64_t>(spec.num_heads) * spec.head_dim; }
  static int64_t kv_size(const ModelSpec& spec) { return static_cast<int64_t>(spec.num_kv_heads) * spec.head_dim; }
  int64_t q_size() const { return q_size(spec_); }
  int64_t kv_size() const { return kv_size(spec_); }

  ModelSpec spec_;
  std::shared_ptr<const void> storage_;
  ConstView embedding_;
  std::vector<Layer> layers_;
  ConstView output_norm_;
  std::unique_ptr<Linear> head_;
  ConstView inv_freq_;  // spec_.rope.inv_freq on the device
};

}  // namespace ferrum
