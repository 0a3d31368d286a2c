#include "models/weights.h"

#include <algorithm>
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

// All bits of the exponent are set in what is no finite number.
template <typename Bits>
bool any_not_finite(const ConstView& view, Bits exponent) {
  const auto* bits = static_cast<const Bits*>(view.data);
  return std::any_of(bits, bits + view.elements(), [&](Bits b) { return (b & exponent) == exponent; });
}

bool has_no_number(const ConstView& view) {
  switch (view.dtype) {
    case DType::kF32: return any_not_finite<uint32_t>(view, 0x7F800000);
    case DType::kF16: return any_not_finite<uint16_t>(view, 0x7C00);
    case DType::kBF16: return any_not_finite<uint16_t>(view, 0x7F80);
    default: return false;
  }
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
    if (spec_.qk_norm != QkNorm::kNone) {
      const bool all = spec_.qk_norm == QkNorm::kAllHeads;
      FERRUM_ASSIGN_OR_RETURN(layer.q_norm, vector(prefix + "attn_q_norm.weight", all ? q_size_ : head_dim_));
      FERRUM_ASSIGN_OR_RETURN(layer.k_norm, vector(prefix + "attn_k_norm.weight", all ? kv_size_ : head_dim_));
    }
    FERRUM_RETURN_IF_ERROR(bind_qkv(layer.qkv, prefix));
    FERRUM_RETURN_IF_ERROR(add_part(layer.attn_output, prefix + "attn_output", hidden_, q_size_));
    if (spec_.moe) FERRUM_RETURN_IF_ERROR(bind_moe(layer, prefix));
    if (ffn_ == 0) return layer;
    const std::string suffix = spec_.moe ? "_shexp" : "";
    FERRUM_RETURN_IF_ERROR(bind_gate_up(layer.gate_up, prefix, suffix));
    FERRUM_RETURN_IF_ERROR(add_part(layer.ffn_down, prefix + "ffn_down" + suffix, hidden_, ffn_));
    return layer;
  }

  Status bind_moe(LayerWeights& layer, const std::string& prefix) {
    const MoeSpec& moe = *spec_.moe;
    const auto count = static_cast<size_t>(moe.router.num_experts);
    FERRUM_RETURN_IF_ERROR(add_part(layer.router, prefix + "ffn_gate_inp", moe.router.num_experts, hidden_));
    if (moe.shared_gate) {
      WeightRef gate{prefix + "ffn_gate_inp_shexp.weight", {}, {}};
      FERRUM_ASSIGN_OR_RETURN(gate.matrix, row_matrix(gate.name, hidden_));
      layer.router.parts.push_back(std::move(gate));
    }
    if (has(prefix + "exp_probs_b.bias")) {
      FERRUM_ASSIGN_OR_RETURN(layer.router_bias, vector(prefix + "exp_probs_b.bias", moe.router.num_experts));
    }
    layer.experts.top_k = moe.router.top_k;
    layer.experts.experts.resize(count);
    FERRUM_RETURN_IF_ERROR(bind_experts_gate_up(layer.experts, prefix, moe.expert_ffn));
    return bind_role(prefix, "ffn_down", hidden_, moe.expert_ffn,
                     [&](size_t e, WeightRef part) { layer.experts.experts[e].down = std::move(part); });
  }

  // Fused files hold the gate's rows of an expert first, then up's.
  Status bind_experts_gate_up(ExpertsSpec& experts, const std::string& prefix, int64_t width) {
    if (has(prefix + "ffn_gate_up_exps.weight")) {
      return bind_role(prefix, "ffn_gate_up", 2 * width, hidden_, [&](size_t e, const WeightRef& both) {
        experts.experts[e].gate = rows_of(both, 0, width);
        experts.experts[e].up = rows_of(both, width, width);
      });
    }
    FERRUM_RETURN_IF_ERROR(bind_role(prefix, "ffn_gate", width, hidden_,
                                     [&](size_t e, WeightRef part) { experts.experts[e].gate = std::move(part); }));
    return bind_role(prefix, "ffn_up", width, hidden_,
                     [&](size_t e, WeightRef part) { experts.experts[e].up = std::move(part); });
  }

  // The matrix of each expert: slices of one tensor, or (files of 2024) a tensor of its own.
  template <typename Take>
  Status bind_role(const std::string& prefix, const std::string& role, int64_t rows, int64_t cols, const Take& take) {
    const auto count = static_cast<int64_t>(spec_.moe->router.num_experts);
    const std::string stacked = prefix + role + "_exps.weight", first = prefix + role + ".0.weight";
    if (!has(stacked) && has(first)) {
      for (int64_t e = 0; e < count; ++e) {
        WeightRef part{prefix + role + "." + std::to_string(e) + ".weight", {}, {}};
        FERRUM_ASSIGN_OR_RETURN(part.matrix, matrix(part.name, rows, cols));
        part.mapped = file_.find_tensor(part.name)->mapped;
        take(static_cast<size_t>(e), std::move(part));
      }
      return Status::ok();
    }
    FERRUM_ASSIGN_OR_RETURN(const ConstView stack, find(stacked));
    if (stack.rank != 3 || stack.dim(0) != count || stack.dim(1) != rows || stack.dim(2) != cols) {
      return wrong_shape(stacked, stack, shape_text({count, rows, cols}));
    }
    FERRUM_RETURN_IF_ERROR(check_weight_type(stacked, stack));
    const size_t bytes = bytes_of(stack.dtype, rows * cols);
    for (int64_t e = 0; e < count; ++e) {
      const auto* data = static_cast<const std::byte*>(stack.data) + static_cast<size_t>(e) * bytes;
      WeightRef part{stacked + "[" + std::to_string(e) + "]", ConstView(data, stack.dtype, {rows, cols}), {}};
      part.mapped = file_.find_tensor(stacked)->mapped;
      take(static_cast<size_t>(e), std::move(part));
    }
    return Status::ok();
  }

  static WeightRef rows_of(const WeightRef& whole, int64_t begin, int64_t count) {
    WeightRef part = whole;
    const size_t row_bytes = bytes_of(whole.matrix.dtype, whole.matrix.dim(1));
    part.matrix.data = static_cast<const std::byte*>(whole.matrix.data) + static_cast<size_t>(begin) * row_bytes;
    part.matrix.shape[0] = count;
    return part;
  }

  Status bind_qkv(LinearSpec& linear, const std::string& prefix) {
    if (has(prefix + "attn_qkv.weight")) return add_part(linear, prefix + "attn_qkv", q_size_ + 2 * kv_size_, hidden_);
    FERRUM_RETURN_IF_ERROR(add_part(linear, prefix + "attn_q", q_size_, hidden_));
    FERRUM_RETURN_IF_ERROR(add_part(linear, prefix + "attn_k", kv_size_, hidden_));
    return add_part(linear, prefix + "attn_v", kv_size_, hidden_);
  }

  // Fused files hold the gate's rows first, then up's, in a matrix that is called by either name.
  Status bind_gate_up(LinearSpec& linear, const std::string& prefix, const std::string& suffix) {
    const std::string gate = prefix + "ffn_gate" + suffix, up = prefix + "ffn_up" + suffix,
                      both = prefix + "ffn_gate_up" + suffix;
    if (has(both + ".weight")) return add_part(linear, both, 2 * ffn_, hidden_);
    const GgufTensor* stored = file_.find_tensor(up + ".weight");
    const bool fused = stored != nullptr && stored->view.rank == 2 && stored->view.dim(0) == 2 * ffn_;
    if (fused && !has(gate + ".weight")) return add_part(linear, up, 2 * ffn_, hidden_);
    FERRUM_RETURN_IF_ERROR(add_part(linear, gate, ffn_, hidden_));
    return add_part(linear, up, ffn_, hidden_);
  }

  bool has(const std::string& name) const { return file_.find_tensor(name) != nullptr; }

  // `stem`.weight, and `stem`.bias if there is one.
  Status add_part(LinearSpec& linear, const std::string& stem, int64_t out, int64_t in) {
    WeightRef part;
    part.name = stem + ".weight";
    FERRUM_ASSIGN_OR_RETURN(part.matrix, matrix(part.name, out, in));
    part.mapped = file_.find_tensor(part.name)->mapped;
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
    FERRUM_RETURN_IF_ERROR(check_weight_type(name, view));
    return view;
  }

  // A matrix of one row, which converters write as a vector.
  Result<ConstView> row_matrix(const std::string& name, int64_t cols) {
    FERRUM_ASSIGN_OR_RETURN(const ConstView view, find(name));
    if (view.rank != 1 || view.dim(0) != cols) return matrix(name, 1, cols);
    FERRUM_RETURN_IF_ERROR(check_weight_type(name, view));
    return ConstView(view.data, view.dtype, {1, cols});
  }

  static Status check_weight_type(const std::string& name, const ConstView& view) {
    if (is_float_or_quantized(view.dtype)) return Status::ok();
    return unsupported("tensor '" + name + "' is " + describe(view) + "; a weight matrix cannot be of this type");
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
      return unsupported("tensor " + ferrum::quoted(tensor.name) + " has no place in a network of architecture '" +
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

Status check_router(const LayerWeights& layer) {
  const auto check = [](const std::string& name, const ConstView& view) {
    if (!has_no_number(view)) return Status::ok();
    return corrupt("tensor " + ferrum::quoted(name) +
                   " has elements that are NaN or infinite: no token could be routed; is the " + "file damaged?");
  };
  for (const WeightRef& part : layer.router.parts) FERRUM_RETURN_IF_ERROR(check(part.name, part.matrix));
  if (layer.router_bias.rank == 0) return Status::ok();
  std::string name = layer.router.parts[0].name;
  name.replace(name.find("ffn_gate_inp"), std::string::npos, "exp_probs_b.bias");
  return check(name, layer.router_bias);
}

bool is_expert_tensor(const GgufTensor& tensor) {
  return tensor.view.rank == 3 ||
         (tensor.name.starts_with("blk.") && std::count(tensor.name.begin(), tensor.name.end(), '.') == 4);
}

Result<DecoderWeights> bind_weights(const Gguf& file, const ModelSpec& spec) { return Binder(file, spec).bind(); }

}  // namespace ferrum
