#include "engine/inspect.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <sstream>

#include "models/spec_reader.h"
#include "models/weights.h"
#include "text/tokenizer.h"

namespace ferrum {
namespace {

// Lenient look-ups below the architecture's prefix: what does not fit is absent.
class ArchitectureKeys {
 public:
  ArchitectureKeys(const Gguf& file, std::string architecture) : file_(file), prefix_(std::move(architecture) + ".") {}

  std::optional<int64_t> integer(const std::string& key) const {
    const auto value = file_.get_int(prefix_ + key);
    return value.is_ok() ? *value : std::nullopt;
  }
  std::optional<double> number(const std::string& key) const {
    const auto value = file_.get_float(prefix_ + key);
    return value.is_ok() ? *value : std::nullopt;
  }
  std::string text(const std::string& key) const {
    const auto value = file_.get_string(prefix_ + key);
    return value.is_ok() ? value->value_or("") : "";
  }
  // One for all layers or an array with one per layer.
  std::vector<int64_t> per_layer(const std::string& key) const {
    if (const auto one = integer(key)) return {*one};
    const auto many = file_.get_ints(prefix_ + key);
    return many.is_ok() ? many->value_or(std::vector<int64_t>()) : std::vector<int64_t>();
  }

 private:
  const Gguf& file_;
  std::string prefix_;
};

std::string string_or_empty(const Gguf& file, std::string_view key) {
  const auto value = file.get_string(key);
  return value.is_ok() ? value->value_or("") : "";
}

std::string describe_rope(const Gguf& file, const ArchitectureKeys& keys) {
  std::ostringstream out;
  const auto add = [&out](const auto&... parts) {
    if (out.tellp() > 0) out << ", ";
    (out << ... << parts);
  };
  if (const auto base = keys.number("rope.freq_base")) add("base ", *base);
  if (const auto dims = keys.integer("rope.dimension_count")) add(*dims, " dimensions");
  const std::string scaling = keys.text("rope.scaling.type");
  if (!scaling.empty() && scaling != "none") {
    add("scaling ", scaling);
    if (const auto factor = keys.number("rope.scaling.factor")) out << " x" << *factor;
    if (const auto original = keys.integer("rope.scaling.original_context_length")) out << " from " << *original;
  }
  if (file.find_tensor("rope_freqs.weight") != nullptr) add("factors in rope_freqs.weight");
  return out.str();
}

// Bytes of K and V of one token over all layers; nullopt if something is missing, negative or overflows.
std::optional<int64_t> kv_bytes_per_token(const InspectCapabilities& c) {
  if (!c.layers || !c.head_dim || !c.value_head_dim || c.kv_heads.empty()) return std::nullopt;
  constexpr int64_t kMaxLayers = 1 << 20;
  if (*c.layers < 1 || *c.layers > kMaxLayers) return std::nullopt;
  if (c.kv_heads.size() != 1 && c.kv_heads.size() != static_cast<size_t>(*c.layers)) return std::nullopt;
  int64_t per_head = 0, total = 0;
  if (*c.head_dim < 1 || *c.value_head_dim < 1) return std::nullopt;
  if (__builtin_add_overflow(*c.head_dim, *c.value_head_dim, &per_head)) return std::nullopt;
  for (int64_t layer = 0; layer < *c.layers; ++layer) {
    const int64_t heads = c.kv_heads[c.kv_heads.size() == 1 ? 0 : static_cast<size_t>(layer)];
    int64_t bytes = 0;
    if (heads < 0 || __builtin_mul_overflow(heads, per_head, &bytes) || __builtin_mul_overflow(bytes, 2, &bytes) ||
        __builtin_add_overflow(total, bytes, &total)) {
      return std::nullopt;
    }
  }
  return total;
}

void read_chat_template(const Gguf& file, InspectCapabilities& c) {
  for (const std::string& key : file.keys()) {
    // "tokenizer.chat_template", and named ones behind a further dot.
    if (!key.starts_with("tokenizer.chat_template")) continue;
    const std::string source = string_or_empty(file, key);
    c.chat_template = c.chat_template || !source.empty();
    c.tool_template = c.tool_template || source.find("tools") != std::string::npos;
  }
}

InspectCapabilities read_capabilities(const Gguf& file) {
  InspectCapabilities c;
  c.architecture = string_or_empty(file, "general.architecture");
  c.name = string_or_empty(file, "general.name");
  const ArchitectureKeys keys(file, c.architecture);
  c.context_length = keys.integer("context_length");
  c.layers = keys.integer("block_count");
  c.hidden_size = keys.integer("embedding_length");
  c.ffn_size = keys.per_layer("feed_forward_length");
  c.heads = keys.per_layer("attention.head_count");
  c.kv_heads = keys.per_layer("attention.head_count_kv");
  if (c.kv_heads.empty()) c.kv_heads = c.heads;
  c.head_dim = keys.integer("attention.key_length");
  if (!c.head_dim && c.hidden_size && c.heads.size() == 1 && c.heads[0] > 0) c.head_dim = *c.hidden_size / c.heads[0];
  c.value_head_dim = keys.integer("attention.value_length");
  if (!c.value_head_dim) c.value_head_dim = c.head_dim;
  c.sliding_window = keys.integer("attention.sliding_window");
  c.experts = keys.integer("expert_count");
  c.experts_used = keys.integer("expert_used_count");
  const auto tokens = file.get_strings("tokenizer.ggml.tokens");
  if (tokens.is_ok() && *tokens != nullptr)
    c.vocab_size = static_cast<int64_t>((*tokens)->size());
  else
    c.vocab_size = keys.integer("vocab_size");
  c.rope = describe_rope(file, keys);
  c.tokenizer_model = string_or_empty(file, "tokenizer.ggml.model");
  c.tokenizer_pre = string_or_empty(file, "tokenizer.ggml.pre");
  read_chat_template(file, c);
  c.kv_bytes_per_token = kv_bytes_per_token(c);
  return c;
}

// What loading the model would fail on, as far as the file alone can tell.
std::vector<std::string> find_obstacles(const Gguf& file) {
  if (file.tensors().empty()) return {"the file has no tensors, only metadata"};
  std::vector<std::string> out;
  const auto spec = read_model_spec(file);
  if (!spec.is_ok()) {
    out.push_back(spec.status().message());
  } else if (const auto weights = bind_weights(file, *spec); !weights.is_ok()) {
    out.push_back(weights.status().message());
  }
  const auto tokenizer = Tokenizer::from_gguf(file);
  if (!tokenizer.is_ok()) out.push_back(tokenizer.status().message());
  return out;
}

}  // namespace

InspectReport measure(std::shared_ptr<const Gguf> file) {
  InspectReport report;
  report.file = std::move(file);
  std::map<DType, InspectTypeUse> types;
  for (const GgufTensor& tensor : report.file->tensors()) {
    InspectTypeUse& use = types[tensor.view.dtype];
    use.dtype = tensor.view.dtype;
    ++use.tensors;
    use.parameters += tensor.view.elements();
    use.bytes += tensor.bytes;
  }
  for (const auto& [dtype, use] : types) {
    report.types.push_back(use);
    report.parameters += use.parameters;
    report.tensor_bytes += use.bytes;
  }
  std::stable_sort(report.types.begin(), report.types.end(),
                   [](const InspectTypeUse& a, const InspectTypeUse& b) { return a.bytes > b.bytes; });
  if (report.parameters > 0) {
    report.bits_per_weight = 8.0 * static_cast<double>(report.tensor_bytes) / static_cast<double>(report.parameters);
  }
  report.capabilities = read_capabilities(*report.file);
  return report;
}

InspectReport inspect(std::shared_ptr<const Gguf> file) {
  InspectReport report = measure(std::move(file));
  report.obstacles = find_obstacles(*report.file);
  return report;
}

Result<InspectReport> inspect(const std::string& path) {
  FERRUM_ASSIGN_OR_RETURN(std::shared_ptr<const Gguf> file, Gguf::open(path));
  return inspect(std::move(file));
}

Result<std::string> inspect_file(const std::string& path, bool json) {
  FERRUM_ASSIGN_OR_RETURN(const InspectReport report, inspect(path));
  return json ? render_json(report) : render_table(report);
}

}  // namespace ferrum
