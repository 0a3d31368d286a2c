#include "models/decoder.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "tensor/slice.h"

namespace ferrum {
namespace {

constexpr size_t kAlignment = 64;  // of each activation: a cache line, and the widest vector register

// Lays f32 matrices one behind the other and remembers the end.
class Packer {
 public:
  size_t add(int64_t rows, int64_t cols) {
    const size_t begin = end_;
    end_ += (static_cast<size_t>(rows) * static_cast<size_t>(cols) * sizeof(float) + kAlignment - 1) / kAlignment *
            kAlignment;
    return begin;
  }
  size_t end() const { return end_; }

 private:
  size_t end_ = 0;
};

}  // namespace

// Views for one step. Besides the residual stream a layer needs two scratch regions, because every operation reads the
// result of the one before it and its own result is read by the next only:
//   wide    h (normed)     attention's output   h    silu(gate) * up
//   wider        q|k|v          attention Wo       gate|up          ffn Wdown
// With experts, h stays for the shared one, whose gate|up and down have a place of their own:
//   wide    h (normed)     attention's output   h                  silu(gate) * up
//   wider        q|k|v          attention Wo      sum of experts
//   shared                                              gate|up                  shared Wdown
struct DecoderModel::Activations {
  View residual;        // [T, H]
  View normed;          // [T, H]               in wide
  View attended;        // [T, heads * D]       in wide
  View gated;           // [T, F]               in wide
  View qkv;             // [T, (heads + 2 kv) D] in wider
  View delta;           // [T, H]               in wider
  View gate_up;         // [T, 2 F]             in wider, or shared
  View cos_sin;         // [T, rope dim]
  View logit_residual;  // [L, H]
  View logit_attended;  // [L, heads * D]       shares its place with the logits, which come last
  View logits;          // [L, V]
  // With experts only:
  View router_logits;  // [T, experts (+ 1)]
  Routing routing;
  View shared_delta;  // [T, H]               in shared
  View expert_load;   // i64 [layers, experts + 1]
};

Result<std::unique_ptr<DecoderModel>> DecoderModel::create(ModelSpec spec, DecoderWeights weights,
                                                           std::shared_ptr<const void> storage, Backend& backend,
                                                           const LoadProgress& progress) {
  if (!backend.supports(weights.embedding.dtype)) {
    return unsupported("tensor 'token_embd.weight' is " + describe(weights.embedding) + ", which backend '" +
                       std::string(backend.name()) + "' cannot compute with");
  }
  std::unique_ptr<DecoderModel> model(new DecoderModel(std::move(spec), std::move(storage)));
  FERRUM_ASSIGN_OR_RETURN(model->embedding_, backend.place(weights.embedding));
  for (LayerWeights& layer : weights.layers) {
    FERRUM_ASSIGN_OR_RETURN(Layer placed, place_layer(layer, backend));
    model->layers_.push_back(std::move(placed));
    if (progress) {
      const double fraction = static_cast<double>(model->layers_.size()) / static_cast<double>(weights.layers.size());
      progress(fraction,
               "layer " + std::to_string(model->layers_.size()) + " of " + std::to_string(weights.layers.size()));
    }
  }
  FERRUM_ASSIGN_OR_RETURN(model->output_norm_, backend.place(weights.output_norm));
  FERRUM_ASSIGN_OR_RETURN(model->head_, backend.make_linear(std::move(weights.head)));
  const std::vector<float>& inv_freq = model->spec_.rope.inv_freq;
  const ConstView host(inv_freq.data(), DType::kF32, {static_cast<int64_t>(inv_freq.size())});
  FERRUM_ASSIGN_OR_RETURN(model->inv_freq_, backend.place(host));
  return model;
}

Result<DecoderModel::Layer> DecoderModel::place_layer(LayerWeights& weights, Backend& backend) {
  Layer layer;
  FERRUM_ASSIGN_OR_RETURN(layer.attn_norm, backend.place(weights.attn_norm));
  FERRUM_ASSIGN_OR_RETURN(layer.ffn_norm, backend.place(weights.ffn_norm));
  if (weights.q_norm.rank != 0) {
    FERRUM_ASSIGN_OR_RETURN(layer.q_norm, backend.place(weights.q_norm));
    FERRUM_ASSIGN_OR_RETURN(layer.k_norm, backend.place(weights.k_norm));
  }
  FERRUM_ASSIGN_OR_RETURN(layer.qkv, backend.make_linear(std::move(weights.qkv)));
  FERRUM_ASSIGN_OR_RETURN(layer.attn_output, backend.make_linear(std::move(weights.attn_output)));
  if (!weights.gate_up.parts.empty()) {
    FERRUM_ASSIGN_OR_RETURN(layer.gate_up, backend.make_linear(std::move(weights.gate_up)));
    FERRUM_ASSIGN_OR_RETURN(layer.ffn_down, backend.make_linear(std::move(weights.ffn_down)));
  }
  if (weights.router.parts.empty()) return layer;
  FERRUM_RETURN_IF_ERROR(check_router(weights));
  FERRUM_ASSIGN_OR_RETURN(layer.router, backend.make_linear(std::move(weights.router)));
  if (weights.router_bias.rank != 0) {
    FERRUM_ASSIGN_OR_RETURN(layer.router_bias, backend.place(weights.router_bias));
  }
  FERRUM_ASSIGN_OR_RETURN(layer.experts, backend.make_experts(std::move(weights.experts)));
  return layer;
}

DecoderModel::Layout DecoderModel::layout(const ModelSpec& spec, int max_tokens, int max_logits) {
  Packer pack;
  Layout at{};
  const int64_t q = q_size(spec), qkv = q + 2 * kv_size(spec);
  at.residual = pack.add(max_tokens, spec.hidden_size);
  at.wide = pack.add(max_tokens, std::max({spec.hidden_size, q, spec.ffn_size}));
  at.wider = pack.add(max_tokens, std::max({qkv, spec.hidden_size, spec.moe ? 0 : 2 * spec.ffn_size}));
  at.cos_sin = pack.add(max_tokens, spec.rope.dim);
  at.logit_residual = pack.add(max_logits, spec.hidden_size);
  at.logits = pack.add(max_logits, std::max(spec.vocab_size, q));
  if (spec.moe) {
    const RouterSpec& router = spec.moe->router;
    at.router_logits = pack.add(max_tokens, router.num_experts + 1);
    at.expert_ids = pack.add(max_tokens, router.top_k);
    at.expert_weights = pack.add(max_tokens, router.top_k);
    at.shared_weights = pack.add(max_tokens, 1);
    at.shared = pack.add(max_tokens, spec.ffn_size > 0 ? std::max(spec.hidden_size, 2 * spec.ffn_size) : 0);
    at.expert_load = pack.add(spec.num_layers, int64_t{2} * (router.num_experts + 1));  // 64 bits each
  }
  at.total = pack.end();
  return at;
}

int64_t DecoderModel::workspace_bytes(const ModelSpec& spec, int max_tokens, int max_logits) {
  return static_cast<int64_t>(layout(spec, max_tokens, max_logits).total);
}

Result<Workspace> DecoderModel::make_workspace(Backend& backend, int max_tokens, int max_logits) const {
  FERRUM_CHECK(max_tokens > 0 && max_logits > 0 && max_logits <= max_tokens, "workspace sizes");
  Workspace workspace;
  FERRUM_ASSIGN_OR_RETURN(workspace.buffer, backend.allocate(layout(spec_, max_tokens, max_logits).total));
  workspace.row_indices.resize(static_cast<size_t>(max_tokens));
  std::iota(workspace.row_indices.begin(), workspace.row_indices.end(), 0);
  const ConstView indices(workspace.row_indices.data(), DType::kI32, {max_tokens});
  FERRUM_ASSIGN_OR_RETURN(workspace.all_rows, backend.place(indices));
  if (spec_.moe) {
    auto* const load =
        static_cast<std::byte*>(workspace.buffer.data()) + layout(spec_, max_tokens, max_logits).expert_load;
    workspace.expert_load = View(load, DType::kI64, {spec_.num_layers, spec_.moe->router.num_experts + 1});
  }
  workspace.max_tokens = max_tokens;
  workspace.max_logits = max_logits;
  return workspace;
}

DecoderModel::Activations DecoderModel::activations(const DeviceBatch& batch, const Workspace& workspace) const {
  FERRUM_CHECK(batch.num_tokens <= workspace.max_tokens && batch.num_logits <= workspace.max_logits,
               "a step of " + std::to_string(batch.num_tokens) + " tokens is larger than the workspace");
  const Layout at = layout(spec_, workspace.max_tokens, workspace.max_logits);
  auto* const base = static_cast<std::byte*>(workspace.buffer.data());
  const auto view = [base](size_t offset, int64_t rows, int64_t cols) {
    return View(base + offset, DType::kF32, {rows, cols});
  };
  const int64_t tokens = batch.num_tokens;
  const int64_t logits = batch.num_logits;
  Activations a;
  a.residual = view(at.residual, tokens, spec_.hidden_size);
  a.normed = view(at.wide, tokens, spec_.hidden_size);
  a.attended = view(at.wide, tokens, q_size());
  a.gated = view(at.wide, tokens, spec_.ffn_size);
  a.qkv = view(at.wider, tokens, q_size() + 2 * kv_size());
  a.delta = view(at.wider, tokens, spec_.hidden_size);
  a.gate_up = view(at.wider, tokens, 2 * spec_.ffn_size);
  a.cos_sin = view(at.cos_sin, tokens, spec_.rope.dim);
  a.logit_residual = view(at.logit_residual, logits, spec_.hidden_size);
  a.logit_attended = view(at.logits, logits, q_size());
  a.logits = view(at.logits, logits, spec_.vocab_size);
  if (!spec_.moe) return a;
  const RouterSpec& router = spec_.moe->router;
  a.router_logits = view(at.router_logits, tokens, router.num_experts + (spec_.moe->shared_gate ? 1 : 0));
  a.routing.ids = View(base + at.expert_ids, DType::kI32, {tokens, router.top_k});
  a.routing.weights = view(at.expert_weights, tokens, router.top_k);
  if (spec_.moe->shared_gate) a.routing.shared = View(base + at.shared_weights, DType::kF32, {tokens});
  a.gate_up = view(at.shared, tokens, 2 * spec_.ffn_size);
  a.shared_delta = view(at.shared, tokens, spec_.hidden_size);
  a.expert_load = workspace.expert_load;
  return a;
}

AttentionPlan DecoderModel::attention_plan(const DeviceBatch& batch, int block_size) const {
  AttentionPlan plan;
  plan.batch = &batch;
  plan.num_heads = spec_.num_heads;
  plan.num_kv_heads = spec_.num_kv_heads;
  plan.head_dim = spec_.head_dim;
  plan.block_size = block_size;
  plan.sliding_window = spec_.sliding_window;
  plan.scale = 1.0f / std::sqrt(static_cast<float>(spec_.head_dim));
  return plan;
}

// From `normed` to `attended`, K and V stored on the way; only_store leaves out the attention.
void DecoderModel::attend(Ops& ops, const Layer& layer, const DeviceBatch& batch, const KvLayer& kv, int block_size,
                          const Activations& a, bool only_store) const {
  layer.qkv->forward(ops, a.normed, a.qkv);
  QkvArgs args;
  args.q = a.qkv.columns(0, q_size());
  args.k = a.qkv.columns(q_size(), kv_size());
  args.v = a.qkv.columns(q_size() + kv_size(), kv_size());
  if (spec_.qk_norm == QkNorm::kAllHeads) {
    ops.rms_norm(args.q, layer.q_norm, spec_.norm_eps, args.q);
    ops.rms_norm(args.k, layer.k_norm, spec_.norm_eps, args.k);
  } else {
    args.q_norm = layer.q_norm;
    args.k_norm = layer.k_norm;
  }
  args.norm_eps = spec_.norm_eps;
  args.cos_sin = a.cos_sin;
  args.layout = spec_.rope.layout;
  args.rope_dim = spec_.rope.dim;
  args.num_heads = spec_.num_heads;
  args.num_kv_heads = spec_.num_kv_heads;
  args.head_dim = spec_.head_dim;
  args.kv = kv;
  args.block_size = block_size;
  args.slots = batch.slots;
  ops.norm_rope_store(args);
  if (!only_store) ops.attention(attention_plan(batch, block_size), args.q, kv, a.attended);
}

// residual += attended Wo; then the feed-forward's own output, which is left in `delta` for the next addition. The rows
// may be fewer than the step's tokens.
void DecoderModel::feed_forward(Ops& ops, size_t index, View residual, ConstView attended, const Activations& a) const {
  const Layer& layer = layers_[index];
  const int64_t rows = residual.dim(0);
  const View delta = a.delta.first_rows(rows);
  const View normed = a.normed.first_rows(rows);
  layer.attn_output->forward(ops, attended, delta);
  ops.add_rms_norm(residual, delta, layer.ffn_norm, spec_.norm_eps, normed);
  if (layer.experts != nullptr) return mix_experts(ops, index, normed, a);
  layer.gate_up->forward(ops, normed, a.gate_up.first_rows(rows));
  ops.silu_mul(a.gate_up.first_rows(rows), a.gated.first_rows(rows));
  layer.ffn_down->forward(ops, a.gated.first_rows(rows), delta);
}

// The sum of a token's experts, and of the one that all share, in `delta`.
void DecoderModel::mix_experts(Ops& ops, size_t index, ConstView normed, const Activations& a) const {
  const Layer& layer = layers_[index];
  const int64_t rows = normed.dim(0);
  const View delta = a.delta.first_rows(rows);
  RouteArgs args;
  args.spec = spec_.moe->router;
  args.logits = a.router_logits.first_rows(rows);
  args.bias = layer.router_bias;
  args.out = {a.routing.ids.first_rows(rows), a.routing.weights.first_rows(rows), a.routing.shared};
  args.out.shared.shape[0] = a.routing.shared.rank > 0 ? rows : 1;
  args.load = View(a.expert_load.row<int64_t>(static_cast<int64_t>(index)), DType::kI64, {a.expert_load.dim(1)});
  layer.router->forward(ops, normed, a.router_logits.first_rows(rows));
  ops.route(args);
  layer.experts->forward(ops, normed, args.out, delta);
  if (layer.gate_up == nullptr) return;
  const View shared = a.shared_delta.first_rows(rows);
  layer.gate_up->forward(ops, normed, a.gate_up.first_rows(rows));
  ops.silu_mul(a.gate_up.first_rows(rows), a.gated.first_rows(rows));
  layer.ffn_down->forward(ops, a.gated.first_rows(rows), shared);
  ops.add_scaled(delta, shared, args.out.shared);
}

void DecoderModel::read_inputs(Ops& ops, const DeviceBatch& batch, const Workspace& workspace, View x) const {
  for (const DeviceBatch::InputRun& run : batch.inputs) {
    const View to = slice(x, run.begin, run.count);
    if (run.first_embedding < 0) {
      ops.embed(embedding_, slice(batch.tokens, run.begin, run.count), to);
    } else {
      const ConstView rows = slice(workspace.all_rows, 0, run.count);
      ops.gather_rows(slice(batch.embeddings, run.first_embedding, run.count), rows, to);
    }
  }
}

ForwardResult DecoderModel::forward(Ops& ops, const DeviceBatch& batch, const KvCache& kv, Workspace& workspace) const {
  FERRUM_CHECK(kv.layers.size() == layers_.size(), "a KV cache of another model");
  const Activations a = activations(batch, workspace);
  ForwardResult result{a.logits, {}};
  if (batch.num_tokens == 0) return result;

  read_inputs(ops, batch, workspace, a.residual);
  ops.rope_cos_sin(batch.positions, inv_freq_, spec_.rope.magnitude, a.cos_sin);

  // After the last layer's K and V are stored, only the rows that want logits still matter (and with hidden states,
  // all).
  const bool narrow = batch.hidden.empty();
  View residual = a.residual;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    ops.enter_layer(static_cast<int>(i));
    if (i == 0) {
      ops.rms_norm(residual, layer.attn_norm, spec_.norm_eps, a.normed);
    } else {
      ops.add_rms_norm(residual, a.delta, layer.attn_norm, spec_.norm_eps, a.normed);
    }
    const bool narrow_here = narrow && i + 1 == layers_.size();
    const bool nothing_wanted = narrow_here && batch.num_logits == 0;
    attend(ops, layer, batch, kv.layers[i], kv.block_size, a, nothing_wanted);
    if (nothing_wanted) return result;
    ConstView attended = a.attended;
    if (narrow_here) {
      ops.gather_rows(a.attended, batch.logit_rows, a.logit_attended);
      ops.gather_rows(a.residual, batch.logit_rows, a.logit_residual);
      attended = a.logit_attended;
      residual = a.logit_residual;
    }
    feed_forward(ops, i, residual, attended, a);
  }
  ops.enter_layer(-1);
  ops.add(residual, a.delta.first_rows(residual.dim(0)));

  if (!narrow) {
    if (batch.num_logits > 0) ops.gather_rows(a.residual, batch.logit_rows, a.logit_residual);
    result.hidden = a.residual;
    for (const DeviceBatch::HiddenRun& run : batch.hidden) {
      if (!run.normed) continue;
      const View states = slice(a.residual, run.begin, run.count);
      ops.rms_norm(states, output_norm_, spec_.norm_eps, states);
    }
    if (batch.num_logits == 0) return result;
  }
  ops.rms_norm(a.logit_residual, output_norm_, spec_.norm_eps, a.logit_residual);
  head_->forward(ops, a.logit_residual, a.logits);
  return result;
}

}  // namespace ferrum
