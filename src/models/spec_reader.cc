#include "models/spec_reader.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/quote.h"
#include "models/architecture.h"
#include "models/rope.h"
#include "moe/router.h"

namespace ferrum {
namespace {

// Far above any model there is; small enough that products of two of them fit an int64 many times over.
constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxHeads = 65536;
constexpr int64_t kMaxWidth = int64_t{1} << 24;  // hidden, feed-forward
constexpr int64_t kMaxHeadDim = 4096;
constexpr int64_t kMaxContext = int64_t{1} << 30;

// Metadata that changes what the network computes and that this wiring does not do; a value other than `neutral` (or 0)
// is refused.
struct RefusedKey {
  std::string_view suffix;
  double neutral;
  std::string_view what;
};
constexpr std::array<RefusedKey, 20> kRefusedKeys = {{
    {"attention.causal", 1, "attention that is not causal"},
    {"attention.scale", 0, "a scale of its own on attention scores"},
    {"attention.clamp_kqv", 0, "clamped Q, K and V"},
    {"attention.temperature_scale", 0, "attention temperature by position"},
    {"attn_logit_softcapping", 0, "soft-capped attention scores"},
    {"final_logit_softcapping", 0, "soft-capped logits"},
    {"logit_scale", 1, "scaled logits"},
    {"residual_scale", 1, "scaled residuals"},
    {"embedding_scale", 1, "scaled embeddings"},
    {"use_parallel_residual", 0, "parallel attention and feed-forward"},
    {"rope.scaling.alpha", 0, "NTK-alpha rope scaling"},
    {"rope.scaling.yarn_log_multiplier", 0, "YaRN with a logarithm multiplier"},
    {"rope.scaling.yarn_ext_factor", 1, "YaRN with an extrapolation factor of its own"},
    {"attention.key_length_mla", 0, "latent attention"},
    {"leading_dense_block_count", 0, "layers without experts before those with"},
    {"interleave_moe_layer_step", 1, "layers without experts among those with"},
    {"moe_every_n_layers", 1, "layers without experts among those with"},
    {"expert_latent_length", 0, "experts of a latent size"},
    {"expert_chunk_feed_forward_length", 0, "chunked experts"},
    {"experts_per_group", 0, "groups of experts that are scaled together"},
}};

std::optional<double> as_number(const GgufValue& value) {
  if (const auto* u = std::get_if<uint64_t>(&value.data)) return static_cast<double>(*u);
  if (const auto* i = std::get_if<int64_t>(&value.data)) return static_cast<double>(*i);
  if (const auto* d = std::get_if<double>(&value.data)) return *d;
  if (const auto* b = std::get_if<bool>(&value.data)) return *b ? 1.0 : 0.0;
  return std::nullopt;
}

class SpecReader {
 public:
  SpecReader(const Gguf& file, const ArchitectureTraits& traits) : file_(file), traits_(traits) {}

  Result<ModelSpec> read() {
    spec_.architecture = traits_.name;
    FERRUM_ASSIGN_OR_RETURN(auto name, file_.get_string("general.name"));
    spec_.name = name.value_or("");
    FERRUM_RETURN_IF_ERROR(refuse_unknown_features());
    FERRUM_RETURN_IF_ERROR(read_sizes());
    FERRUM_RETURN_IF_ERROR(read_experts());
    FERRUM_RETURN_IF_ERROR(read_heads());
    FERRUM_RETURN_IF_ERROR(read_epsilon());
    FERRUM_RETURN_IF_ERROR(read_window());
    FERRUM_RETURN_IF_ERROR(read_rope());
    FERRUM_RETURN_IF_ERROR(read_vocabulary());
    read_tensor_presence();
    return std::move(spec_);
  }

 private:
  std::string key(std::string_view suffix) const { return std::string(traits_.name) + "." + std::string(suffix); }

  Status bad_value(std::string_view suffix, const std::string& value, const std::string& wanted) const {
    return corrupt("metadata key '" + key(suffix) + "' is " + value + "; it must be " + wanted +
                   ". The file was converted wrongly or is damaged");
  }

  Result<int64_t> in_range(std::string_view suffix, int64_t value, int64_t max) const {
    if (value >= 1 && value <= max) return value;
    return bad_value(suffix, std::to_string(value), "between 1 and " + std::to_string(max));
  }

  Result<int64_t> required_int(std::string_view suffix, int64_t max) const {
    FERRUM_ASSIGN_OR_RETURN(auto value, file_.get_int(key(suffix)));
    if (!value)
      return not_found("metadata key '" + key(suffix) + "' is missing; a model of this architecture needs it");
    return in_range(suffix, *value, max);
  }

  // A number, or one number per layer that are all the same: layers of different shapes are another wiring.
  Result<std::optional<int64_t>> same_in_all_layers(std::string_view suffix, int64_t max) const {
    const GgufValue* found = file_.find(key(suffix));
    if (found == nullptr) return std::optional<int64_t>();
    if (found->type != GgufType::kArray) {
      FERRUM_ASSIGN_OR_RETURN(const int64_t value, required_int(suffix, max));
      return std::optional<int64_t>(value);
    }
    FERRUM_ASSIGN_OR_RETURN(const auto values, file_.get_ints(key(suffix)));
    if (!values || values->size() != static_cast<size_t>(spec_.num_layers)) {
      return bad_value(suffix, "an array of " + std::to_string(values ? values->size() : 0) + " values",
                       "one number, or one for each of the " + std::to_string(spec_.num_layers) + " layers");
    }
    if (std::adjacent_find(values->begin(), values->end(), std::not_equal_to<>()) != values->end()) {
      return unsupported("metadata key '" + key(suffix) +
                         "' differs between layers; Ferrum computes models whose layers all have the same shape");
    }
    FERRUM_ASSIGN_OR_RETURN(const int64_t value, in_range(suffix, values->front(), max));
    return std::optional<int64_t>(value);
  }

  Result<double> float_or(std::string_view suffix, double absent) const {
    FERRUM_ASSIGN_OR_RETURN(const auto value, file_.get_float(key(suffix)));
    return value.value_or(absent);
  }

  Status refuse_unknown_features() const {
    for (const RefusedKey& refused : kRefusedKeys) {
      const GgufValue* value = file_.find(key(refused.suffix));
      if (value == nullptr) continue;
      const std::optional<double> number = as_number(*value);
      const bool causal = refused.suffix == "attention.causal";  // the one flag whose 0 is not neutral
      if (number && (*number == refused.neutral || (*number == 0 && !causal))) continue;
      return unsupported("metadata key '" + key(refused.suffix) + "' asks for " + std::string(refused.what) +
                         ", which Ferrum does not compute for architecture '" + std::string(traits_.name) + "'");
    }
    return Status::ok();
  }

  Status read_sizes() {
    FERRUM_ASSIGN_OR_RETURN(const int64_t layers, required_int("block_count", kMaxLayers));
    spec_.num_layers = static_cast<int>(layers);
    FERRUM_ASSIGN_OR_RETURN(spec_.hidden_size, required_int("embedding_length", kMaxWidth));
    FERRUM_ASSIGN_OR_RETURN(const int64_t context, required_int("context_length", kMaxContext));
    spec_.max_context = static_cast<int>(context);
    return Status::ok();
  }

  Result<int64_t> feed_forward_length() const {
    FERRUM_ASSIGN_OR_RETURN(const auto ffn, same_in_all_layers("feed_forward_length", kMaxWidth));
    if (!ffn) return not_found("metadata key '" + key("feed_forward_length") + "' is missing");
    return *ffn;
  }

  // The width of a layer's feed-forward: of all of it, or of its experts and the one they share.
  Status read_experts() {
    FERRUM_ASSIGN_OR_RETURN(const auto count, file_.get_int(key("expert_count")));
    const ExpertTraits& traits = traits_.experts;
    const bool some = count && *count != 0;
    if (traits.use == ExpertUse::kNever && some) {
      return unsupported("metadata key '" + key("expert_count") +
                         "' asks for mixture-of-experts layers, which Ferrum " + "does not compute for architecture '" +
                         std::string(traits_.name) + "'");
    }
    if (traits.use != ExpertUse::kAlways && !some) {
      FERRUM_ASSIGN_OR_RETURN(spec_.ffn_size, feed_forward_length());
      return Status::ok();
    }
    MoeSpec moe;
    FERRUM_RETURN_IF_ERROR(read_router(moe.router));
    if (!traits.width_is_ffn || file_.find(key("expert_feed_forward_length")) != nullptr) {
      FERRUM_ASSIGN_OR_RETURN(moe.expert_ffn, required_int("expert_feed_forward_length", kMaxWidth));
    } else {
      FERRUM_ASSIGN_OR_RETURN(moe.expert_ffn, feed_forward_length());
    }
    FERRUM_RETURN_IF_ERROR(read_shared_expert(moe));
    spec_.ffn_size = moe.shared_ffn;
    spec_.moe = moe;
    return Status::ok();
  }

  Status read_router(RouterSpec& router) const {
    FERRUM_ASSIGN_OR_RETURN(const int64_t count, required_int("expert_count", kMaxExperts));
    FERRUM_ASSIGN_OR_RETURN(const int64_t used, required_int("expert_used_count", kMaxExperts));
    router.num_experts = static_cast<int>(count);
    router.top_k = static_cast<int>(used);
    FERRUM_ASSIGN_OR_RETURN(const auto normalize, file_.get_bool(key("expert_weights_norm")));
    router.normalize = normalize.value_or(traits_.experts.normalize);
    FERRUM_ASSIGN_OR_RETURN(const double scale, float_or("expert_weights_scale", 0.0));
    router.scale = scale == 0 ? 1.0f : static_cast<float>(scale);  // 0 is how converters write "none"
    FERRUM_ASSIGN_OR_RETURN(const auto gating, file_.get_int(key("expert_gating_func")));
    if (gating.value_or(1) > 2 || gating.value_or(1) < 0) {
      return unsupported("metadata key '" + key("expert_gating_func") + "' is " + std::to_string(*gating) +
                         "; Ferrum knows 1 (softmax) and 2 (sigmoid)");
    }
    router.score = gating.value_or(1) == 2 ? RouterScore::kSigmoid : RouterScore::kSoftmax;
    FERRUM_ASSIGN_OR_RETURN(const auto groups, file_.get_int(key("expert_group_count")));
    if (groups.value_or(0) > 1) {
      FERRUM_ASSIGN_OR_RETURN(const int64_t all, required_int("expert_group_count", kMaxExperts));
      FERRUM_ASSIGN_OR_RETURN(const int64_t best, required_int("expert_group_used_count", kMaxExperts));
      router.groups = static_cast<int>(all);
      router.top_groups = static_cast<int>(best);
      router.group_experts = std::min(2, router.num_experts / router.groups);
    }
    const Status valid = validate_router(router);
    // The numbers are the file's, so what the router calls an argument is its content.
    if (!valid.is_ok()) return corrupt(valid.message() + " (see the metadata keys '" + key("expert_*") + "')");
    return Status::ok();
  }

  Status read_shared_expert(MoeSpec& moe) const {
    constexpr std::string_view kWidth = "expert_shared_feed_forward_length";
    moe.shared_gate = traits_.experts.shared_and_gated;
    if (moe.shared_gate) {
      FERRUM_ASSIGN_OR_RETURN(moe.shared_ffn, required_int(kWidth, kMaxWidth));
      return Status::ok();
    }
    FERRUM_ASSIGN_OR_RETURN(const auto width, file_.get_int(key(kWidth)));
    FERRUM_ASSIGN_OR_RETURN(const auto count, file_.get_int(key("expert_shared_count")));
    if (width.value_or(0) == 0 && count.value_or(0) == 0) return Status::ok();
    return unsupported("metadata keys '" + key("expert_shared_*") +
                       "' ask for a shared expert, which Ferrum does not " + "compute for architecture '" +
                       std::string(traits_.name) + "'");
  }

  Status read_heads() {
    FERRUM_ASSIGN_OR_RETURN(const auto heads, same_in_all_layers("attention.head_count", kMaxHeads));
    if (!heads) return not_found("metadata key '" + key("attention.head_count") + "' is missing");
    FERRUM_ASSIGN_OR_RETURN(const auto kv_heads, same_in_all_layers("attention.head_count_kv", kMaxHeads));
    spec_.num_heads = static_cast<int>(*heads);
    spec_.num_kv_heads = static_cast<int>(kv_heads.value_or(*heads));
    if (spec_.num_heads % spec_.num_kv_heads != 0) {
      return bad_value("attention.head_count_kv", std::to_string(spec_.num_kv_heads),
                       "a divisor of the " + std::to_string(spec_.num_heads) + " heads");
    }
    return read_head_dim();
  }

  Status read_head_dim() {
    FERRUM_ASSIGN_OR_RETURN(const auto key_length, same_in_all_layers("attention.key_length", kMaxHeadDim));
    FERRUM_ASSIGN_OR_RETURN(const auto value_length, same_in_all_layers("attention.value_length", kMaxHeadDim));
    if (!key_length && spec_.hidden_size % spec_.num_heads != 0) {
      return bad_value("attention.head_count", std::to_string(spec_.num_heads),
                       "a divisor of the embedding length " + std::to_string(spec_.hidden_size) + " (or '" +
                           key("attention.key_length") + "' must be given)");
    }
    const int64_t head_dim = key_length.value_or(spec_.hidden_size / spec_.num_heads);
    if (value_length.value_or(head_dim) != head_dim) {
      return unsupported("keys of " + std::to_string(head_dim) + " and values of " + std::to_string(*value_length) +
                         " elements per head; Ferrum computes models where they are of one length");
    }
    FERRUM_ASSIGN_OR_RETURN(const int64_t checked, in_range("attention.key_length", head_dim, kMaxHeadDim));
    spec_.head_dim = static_cast<int>(checked);
    return Status::ok();
  }

  Status read_epsilon() {
    constexpr std::string_view kSuffix = "attention.layer_norm_rms_epsilon";
    FERRUM_ASSIGN_OR_RETURN(const auto epsilon, file_.get_float(key(kSuffix)));
    if (!epsilon) return not_found("metadata key '" + key(kSuffix) + "' is missing");
    spec_.norm_eps = static_cast<float>(*epsilon);
    if (std::isfinite(spec_.norm_eps) && spec_.norm_eps > 0) return Status::ok();
    return bad_value(kSuffix, std::to_string(*epsilon), "a finite number above 0, such as 1e-5");
  }

  Status read_window() {
    constexpr std::string_view kSuffix = "attention.sliding_window";
    FERRUM_ASSIGN_OR_RETURN(const auto window, file_.get_int(key(kSuffix)));
    if (!window || *window == 0) return Status::ok();
    if (*window < 0 || *window > kMaxContext) {
      return bad_value(kSuffix, std::to_string(*window), "between 0 (none) and " + std::to_string(kMaxContext));
    }
    if (file_.find(key("attention.sliding_window_pattern")) != nullptr) {
      return unsupported("metadata key '" + key("attention.sliding_window_pattern") +
                         "' gives only some layers a window; Ferrum computes models where all layers have it or none");
    }
    spec_.sliding_window = *window >= spec_.max_context ? 0 : static_cast<int>(*window);
    return Status::ok();
  }

  Status read_rope() {
    RopeParams rope;
    rope.layout = traits_.rope_layout;
    FERRUM_ASSIGN_OR_RETURN(const auto dim, file_.get_int(key("rope.dimension_count")));
    const int64_t rotated = dim.value_or(spec_.head_dim);
    if (rotated < 2 || rotated > spec_.head_dim || rotated % 2 != 0) {
      return bad_value("rope.dimension_count", std::to_string(rotated),
                       "even and between 2 and the head size " + std::to_string(spec_.head_dim));
    }
    rope.dim = static_cast<int>(rotated);
    FERRUM_ASSIGN_OR_RETURN(rope.base, float_or("rope.freq_base", traits_.default_rope_base));

    FERRUM_ASSIGN_OR_RETURN(const auto divisors, rope_divisors(rope.dim));
    FERRUM_RETURN_IF_ERROR(read_rope_scaling(rope, !divisors.empty()));
    Result<RopeSpec> made = make_rope(rope, divisors);
    // The parameters are the file's, so what make_rope calls an argument is its content.
    if (!made.is_ok()) return corrupt(made.status().message() + " (see the metadata keys '" + key("rope.*") + "')");
    spec_.rope = std::move(made).value();
    return Status::ok();
  }

  Status read_rope_scaling(RopeParams& rope, bool has_divisors) const {
    FERRUM_ASSIGN_OR_RETURN(const auto type, file_.get_string(key("rope.scaling.type")));
    // Files of 2023 carry only a factor: linear scaling was the only one then, and "scale_linear" its first name.
    FERRUM_ASSIGN_OR_RETURN(const double old_factor, float_or("rope.scale_linear", 1.0));
    FERRUM_ASSIGN_OR_RETURN(rope.factor, float_or("rope.scaling.factor", old_factor));
    FERRUM_ASSIGN_OR_RETURN(const auto original, file_.get_int(key("rope.scaling.original_context_length")));
    const std::string name = type.value_or("linear");
    if (name == "none") {
      rope.scaling = RopeScaling::kNone;
    } else if (name == "linear") {
      rope.scaling = RopeScaling::kLinear;
    } else if (name == "llama3") {
      // The tensor rope_freqs holds the result of the same rule; applying both would scale twice.
      rope.scaling = has_divisors ? RopeScaling::kNone : RopeScaling::kLlama3;
      rope.original_context = original.value_or(0);
      FERRUM_ASSIGN_OR_RETURN(rope.low_freq_factor, float_or("rope.scaling.low_freq_factor", rope.low_freq_factor));
      FERRUM_ASSIGN_OR_RETURN(rope.high_freq_factor, float_or("rope.scaling.high_freq_factor", rope.high_freq_factor));
    } else if (name == "yarn") {
      rope.scaling = RopeScaling::kYarn;
      rope.original_context = original.value_or(spec_.max_context);
      FERRUM_ASSIGN_OR_RETURN(rope.beta_fast, float_or("rope.scaling.yarn_beta_fast", rope.beta_fast));
      FERRUM_ASSIGN_OR_RETURN(rope.beta_slow, float_or("rope.scaling.yarn_beta_slow", rope.beta_slow));
      FERRUM_ASSIGN_OR_RETURN(const double factor, float_or("rope.scaling.attn_factor", 1.0));
      FERRUM_ASSIGN_OR_RETURN(const double yarn_factor, float_or("rope.scaling.yarn_attn_factor", 1.0));
      rope.attention_factor = factor * yarn_factor;
    } else {
      return unsupported("metadata key '" + key("rope.scaling.type") + "' is " + ferrum::quoted(name) +
                         "; Ferrum knows none, linear, llama3 and yarn");
    }
    return Status::ok();
  }

  // Llama-3 files carry their scaling as one divisor per rotated pair.
  Result<std::vector<float>> rope_divisors(int dim) const {
    const GgufTensor* tensor = file_.find_tensor("rope_freqs.weight");
    if (tensor == nullptr) return std::vector<float>();
    if (tensor->view.dtype != DType::kF32 || tensor->view.rank != 1 || tensor->view.dim(0) != dim / 2) {
      return corrupt("tensor 'rope_freqs.weight' is " + describe(tensor->view) + "; wanted [" +
                     std::to_string(dim / 2) + "] F32, one divisor per rotated pair");
    }
    const float* values = tensor->view.as<float>();
    return std::vector<float>(values, values + dim / 2);
  }

  Status read_vocabulary() {
    const GgufTensor* table = file_.find_tensor("token_embd.weight");
    if (table == nullptr) return not_found("tensor 'token_embd.weight' is missing; the file holds no language model");
    if (table->view.rank != 2 || table->view.dim(1) != spec_.hidden_size || table->view.dim(0) < 1) {
      return corrupt("tensor 'token_embd.weight' is " + describe(table->view) + "; wanted [vocabulary, " +
                     std::to_string(spec_.hidden_size) + "]");
    }
    spec_.vocab_size = table->view.dim(0);
    if (spec_.vocab_size > std::numeric_limits<int32_t>::max()) {
      return unsupported("a vocabulary of " + std::to_string(spec_.vocab_size) + " tokens is beyond 32-bit token ids");
    }
    FERRUM_ASSIGN_OR_RETURN(const auto stated, file_.get_int(key("vocab_size")));
    if (stated && *stated != spec_.vocab_size) {
      return bad_value("vocab_size", std::to_string(*stated),
                       std::to_string(spec_.vocab_size) + ", the rows of 'token_embd.weight'");
    }
    FERRUM_ASSIGN_OR_RETURN(const auto* tokens, file_.get_strings("tokenizer.ggml.tokens"));
    if (tokens != nullptr && tokens->size() != static_cast<size_t>(spec_.vocab_size)) {
      return corrupt("the tokenizer has " + std::to_string(tokens->size()) + " tokens ('tokenizer.ggml.tokens') but '" +
                     "token_embd.weight' has " + std::to_string(spec_.vocab_size) + " rows; they must be as many");
    }
    return Status::ok();
  }

  void read_tensor_presence() {
    spec_.qk_norm = traits_.qk_norm;
    spec_.qkv_bias =
        file_.find_tensor("blk.0.attn_q.bias") != nullptr || file_.find_tensor("blk.0.attn_qkv.bias") != nullptr;
    spec_.tied_head = file_.find_tensor("output.weight") == nullptr;
  }

  const Gguf& file_;
  const ArchitectureTraits& traits_;
  ModelSpec spec_;
};

}  // namespace

Result<ModelSpec> read_model_spec(const Gguf& file) {
  FERRUM_ASSIGN_OR_RETURN(const auto architecture, file.get_string("general.architecture"));
  if (!architecture)
    return not_found("metadata key 'general.architecture' is missing; the file does not say what it is");
  const ArchitectureTraits* traits = find_architecture(*architecture);
  if (traits == nullptr) {
    return unsupported("architecture " + ferrum::quoted(*architecture) + " is not supported; Ferrum knows " +
                       architecture_names());
  }
  return SpecReader(file, *traits).read();
}

}  // namespace ferrum
