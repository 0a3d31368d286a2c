#include "models/weights.h"

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>

#include "base/quote.h"

namespace ferrum {
namespace {

bool is_float_or_quantized(DType dtype) {
  return info(dtype).quantized || dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

std::string shape_text(std::initializer_list<int64_t> dims) {
  std::string text = "[";
  for (const int64_t dim : dims) {
    if (text.size() > 1) text += ", ";
    text += std::to_string(dim);
  }
  return text += "]";
}

class Binder {
 public:
  Binder(const Gguf& file, const ModelSpec& spec)
      : file_(file),
        hidden_(spec.hidden_size),
        ffn_(spec.ffn_size),
        head_dim_(spec.head_dim),
        q_size_(static_cast<int64_t>(spec.num_heads) * spec.head_dim),
        kv_size_(static_cast<int64_t>(spec.num_kv_heads) * spec.head_dim),
        spec_(spec) {}

  Result<DecoderWeights> bind() {
    DecoderWeights weights;
    FERRUM_ASSIGN_OR_RETURN(weights.embedding, matrix("token_embd.weight", spec_.vocab_size, hidden_));
    for (int layer = 0; layer < spec_.num_layers; ++layer) {
      FERRUM_ASSIGN_OR_RETURN(LayerWeights bound, bind_layer("blk." + std::to_string(layer) + "."));
      weights.layers.push_back(std::move(bound));
    }
    FERRUM_ASSIGN_OR_RETURN(weights.output_norm, vector("output_norm.weight", hidden_));
    const std::string head = spec_.tied_head ? "token_embd" : "output";
    FERRUM_RETURN_IF_ERROR(add_part(weights.head, head, spec_.vocab_size, hidden_));
    FERRUM_RETURN_IF_ERROR(refuse_unused());
    return weights;
  }

 private:
  Result<LayerWeights> bind_layer(const std::string& prefix) {
    LayerWeights layer;
    FERRUM_ASSIGN_OR_RETURN(layer.attn_norm, vector(prefix + "attn_norm.weight", hidden_));
    FERRUM_ASSIGN_OR_RETURN(layer.ffn_norm, vector(prefix + "ffn_norm.weight", hidden_));
    if (spec_.qk_norm) {
      FERRUM_ASSIGN_OR_RETURN(layer.q_norm, vector(prefix + "attn_q_norm.weight", head_dim_));
      FERRUM_ASSIGN_OR_RETURN(layer.k_norm, vector(prefix + "attn_k_norm.weight", head_dim_));
    }
    FERRUM_RETURN_IF_ERROR(bind_qkv(layer.qkv, prefix));
    FERRUM_RETURN_IF_ERROR(add_part(layer.attn_output, prefix + "attn_output", hidden_, q_size_));
    FERRUM_RETURN_IF_ERROR(bind_gate_up(layer.gate_up, prefix));
    FERRUM_RETURN_IF_ERROR(add_part(layer.ffn_down, prefix + "ffn_down", hidden_, ffn_));
    return layer;
  }

  Status bind_qkv(LinearSpec& linear, const std::string& prefix) {
    if (has(prefix + "attn_qkv.weight")) return add_part(linear, prefix + "attn_qkv", q_size_ + 2 * kv_size_, hidden_);
    FERRUM_RETURN_IF_ERROR(add_part(linear, prefix + "attn_q", q_size_, hidden_));
    FERRUM_RETURN_IF_ERROR(add_part(linear, prefix + "attn_k", kv_size_, hidden_));
    return add_part(linear, prefix + "attn_v", kv_size_, hidden_);
  }

  // Fused files hold the gate's rows first, then up's, in a matrix that is called by either name.
  Status bind_gate_up(LinearSpec& linear, const std::string& prefix) {
    if (has(prefix + "ffn_gate_up.weight")) return add_part(linear, prefix + "ffn_gate_up", 2 * ffn_, hidden_);
    const GgufTensor* up = file_.find_tensor(prefix + "ffn_up.weight");
    const bool fused = up != nullptr && up->view.rank == 2 && up->view.dim(0) == 2 * ffn_;
    if (fused && !has(prefix + "ffn_gate.weight")) return add_part(linear, prefix + "ffn_up", 2 * ffn_, hidden_);
    FERRUM_RETURN_IF_ERROR(add_part(linear, prefix + "ffn_gate", ffn_, hidden_));
    return add_part(linear, prefix + "ffn_up", ffn_, hidden_);
  }

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  // `stem`.weight, and `stem`.bias if there is one.
  Status add_part(LinearSpec& linear, const std::string& stem, int64_t out, int64_t in) {
    WeightRef part;
    part.name = stem + ".weight";
    FERRUM_ASSIGN_OR_RETURN(part.matrix, matrix(part.name, out, in));
    if (has(stem + ".bias")) {
      FERRUM_ASSIGN_OR_RETURN(part.bias, vector(stem + ".bias", out));
    }
    linear.parts.push_back(std::move(part));
    return Status::ok();
  }

  Result<ConstView> matrix(const std::string& name, int64_t rows, int64_t cols) {
    FERRUM_ASSIGN_OR_RETURN(const ConstView view, find(name));
    if (view.rank != 2 || view.dim(0) != rows || view.dim(1) != cols) {
      return wrong_shape(name, view, shape_text({rows, cols}));
    }
    if (!is_float_or_quantized(view.dtype)) {
      return unsupported("tensor '" + name + "' is " + describe(view) + "; a weight matrix cannot be of this type");
    }
    return view;
  }

  Result<ConstView> vector(const std::string& name, int64_t size) {
    FERRUM_ASSIGN_OR_RETURN(const ConstView view, find(name));
    if (view.rank != 1 || view.dim(0) != size) return wrong_shape(name, view, shape_text({size}));
    if (view.dtype != DType::kF32) {
      return unsupported("tensor '" + name + "' is " + describe(view) + "; norms and biases must be F32, as every " +
                         "common converter writes them");
    }
    return view;
  }

  Result<ConstView> find(const std::string& name) {
    const GgufTensor* tensor = file_.find_tensor(name);
    if (tensor == nullptr) {
      return not_found("tensor '" + name + "' is missing; a model of architecture '" + spec_.architecture + "' with " +
                       std::to_string(spec_.num_layers) + " layers needs it");
    }
    used_.insert(tensor->name);
    return tensor->view;
  }

  Status wrong_shape(const std::string& name, const ConstView& found, const std::string& wanted) const {
    return corrupt("tensor '" + name + "' is " + describe(found) + "; the metadata of this '" + spec_.architecture +
                   "' model wants " + wanted);
  }

  Status refuse_unused() const {
    for (const GgufTensor& tensor : file_.tensors()) {
      if (used_.contains(tensor.name) || tensor.name == "rope_freqs.weight" || is_ignorable(tensor.name)) continue;
      return unsupported("tensor " + quoted(tensor.name) + " has no place in a network of architecture '" +
                         spec_.architecture + "' with " + std::to_string(spec_.num_layers) +
                         " layers; to ignore it would compute something else than the file means");
    }
    return Status::ok();
  }

  // Tables of rotary frequencies that early converters copied along; they follow from the metadata.
  static bool is_ignorable(std::string_view name) {
    return name.ends_with(".attn_rot_embd") || name.ends_with(".rotary_emb.inv_freq") ||
           name.ends_with(".attn_rot_embd.weight");
  }

  const Gguf& file_;
  const int64_t hidden_, ffn_, head_dim_, q_size_, kv_size_;
  const ModelSpec& spec_;
  std::set<std::string_view> used_;  // names inside file_
};

}  // namespace

Result<DecoderWeights> bind_weights(const Gguf& file, const ModelSpec& spec) { return Binder(file, spec).bind(); }

}  // namespace ferrum
