#include "tools/random_gguf/random_model.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "io/gguf_writer.h"
#include "tools/random_gguf/random_blocks.h"

namespace ferrum {
namespace {

constexpr std::string_view kChatTemplate =
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
constexpr std::string_view kSpecials[] = {"<|endoftext|>", "<|im_start|>", "<|im_end|>"};
constexpr int64_t kBytes = 256, kSpecialCount = std::size(kSpecials);

void append_utf8(std::string& text, int code_point) {  // below 0x800
  if (code_point < 0x80) {
    text += static_cast<char>(code_point);
  } else {
    text += static_cast<char>(0xc0 | (code_point >> 6));
    text += static_cast<char>(0x80 | (code_point & 0x3f));
  }
}

// The character by which byte-level BPE spells each byte (GPT-2's bytes_to_unicode): printable ones as themselves.
std::vector<std::string> byte_tokens() {
  std::vector<std::string> tokens;
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    std::string token;
    append_utf8(token, printable ? byte : next++);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

// Words of `length` letters, "aa", "ab", ...
std::string word(int64_t index, int length) {
  std::string text(static_cast<size_t>(length), 'a');
  for (int i = length - 1; i >= 0; --i, index /= 26) text[static_cast<size_t>(i)] = static_cast<char>('a' + index % 26);
  return text;
}

// A vocabulary that a byte-level tokenizer accepts: the bytes, then all words of two letters, of three, of four; each
// is merged from its first letters and its last, and (for files with more merges than words) from its first and the
// rest.
void set_vocabulary(GgufWriter& writer, const RandomModel& m) {
  std::vector<std::string> tokens = byte_tokens();
  int64_t count = 26;
  for (int length = 2; static_cast<int64_t>(tokens.size()) < m.vocab - kSpecialCount; ++length) {
    count *= 26;
    for (int64_t i = 0; i < count && static_cast<int64_t>(tokens.size()) < m.vocab - kSpecialCount; ++i) {
      tokens.push_back(word(i, length));
    }
  }
  std::vector<std::string> merges;
  for (const bool from_end : {true, false}) {
    for (size_t i = kBytes; i < tokens.size() && static_cast<int64_t>(merges.size()) < m.merges; ++i) {
      const size_t cut = from_end ? tokens[i].size() - 1 : 1;
      if (!from_end && tokens[i].size() < 3) continue;
      merges.push_back(tokens[i].substr(0, cut) + " " + tokens[i].substr(cut));
    }
  }
  std::vector<int32_t> types(static_cast<size_t>(m.vocab), 1);  // normal
  const auto first_special = static_cast<uint32_t>(tokens.size());
  for (const std::string_view special : kSpecials) {
    types[tokens.size()] = 3;  // control
    tokens.emplace_back(special);
  }
  writer.set_string("tokenizer.ggml.model", "gpt2");
  writer.set_string("tokenizer.ggml.pre", m.pre);
  writer.set_strings("tokenizer.ggml.tokens", std::move(tokens));
  writer.set_int32s("tokenizer.ggml.token_type", types);
  writer.set_strings("tokenizer.ggml.merges", std::move(merges));
  writer.set_uint32("tokenizer.ggml.bos_token_id", first_special);
  writer.set_uint32("tokenizer.ggml.eos_token_id", first_special + 2);
  writer.set_bool("tokenizer.ggml.add_bos_token", false);
  writer.set_string("tokenizer.chat_template", std::string(kChatTemplate));
}

void set_metadata(GgufWriter& writer, const RandomModel& m) {
  const auto number = [&](const char* name, int64_t value) {
    writer.set_uint32(m.architecture + "." + name, static_cast<uint32_t>(value));
  };
  writer.set_string("general.architecture", m.architecture);
  writer.set_string("general.name", m.name);
  number("context_length", m.context);
  number("block_count", m.layers);
  number("embedding_length", m.hidden);
  number("feed_forward_length", m.ffn);
  if (m.experts > 0) {
    number("expert_count", m.experts);
    number("expert_used_count", m.experts_used);
    number("expert_feed_forward_length", m.ffn);
  }
  number("attention.head_count", m.heads);
  number("attention.head_count_kv", m.kv_heads);
  number("attention.key_length", m.head_dim);
  number("attention.value_length", m.head_dim);
  number("rope.dimension_count", m.head_dim);
  writer.set_float32(m.architecture + ".attention.layer_norm_rms_epsilon", m.norm_eps);
  writer.set_float32(m.architecture + ".rope.freq_base", m.rope_base);
}

// Which type each matrix gets.
class Types {
 public:
  static Result<Types> of(const RandomModel& m) {
    Types types;
    types.layers_ = m.layers;
    types.mix_ = m.type == "Q4_K_M" || m.type == "q4_k_m";
    if (types.mix_) return types;
    const auto dtype = dtype_from_name(m.type);
    if (!dtype || !is_weight_type(*dtype)) {
      return invalid_argument("'" + m.type + "' is no type of weights; choose Q4_K_M or a type as in Q8_0, Q6_K, BF16");
    }
    types.plain_ = *dtype;
    return types;
  }

  // Q4_K_M as llama.cpp's quantiser mixes it: Q6_K for the output matrix (the embedding, where tied), and for V and
  // the down projection of the first and last eighth of the layers and every third between; Q4_K for the rest. A row
  // that is not whole blocks gets the 32-block type of next higher precision.
  DType matrix(std::string_view role, int layer, int64_t columns, bool is_output) const {
    if (!mix_) return columns % info(plain_).block_elements == 0 ? plain_ : DType::kF16;
    const bool sensitive = role == "attn_v" || role == "ffn_down" || role == "ffn_down_exps";
    const bool more = is_output || (sensitive && takes_more_bits(layer));
    if (columns % 256 != 0) return more ? DType::kQ8_0 : DType::kQ5_0;
    return more ? DType::kQ6_K : DType::kQ4_K;
  }

 private:
  bool takes_more_bits(int i) const { return i < layers_ / 8 || i >= 7 * layers_ / 8 || (i - layers_ / 8) % 3 == 2; }
  DType plain_ = DType::kF32;
  bool mix_ = false;
  int layers_ = 0;
};

struct Wanted {
  std::string name;
  DType dtype;
  int64_t rows, columns;  // rows 0: a vector
  int64_t stacked = 0;    // so many matrices; 0: one
};

std::vector<Wanted> tensors_of(const RandomModel& m, const Types& types) {
  std::vector<Wanted> all;
  const int64_t q = static_cast<int64_t>(m.heads) * m.head_dim, kv = static_cast<int64_t>(m.kv_heads) * m.head_dim;
  all.push_back({"token_embd.weight", types.matrix("token_embd", 0, m.hidden, m.tied), m.vocab, m.hidden});
  for (int layer = 0; layer < m.layers; ++layer) {
    const std::string prefix = "blk." + std::to_string(layer) + ".";
    const auto vector = [&](const char* role, int64_t n) {
      all.push_back({prefix + role + ".weight", DType::kF32, 0, n});
    };
    const auto matrix = [&](const char* role, int64_t rows, int64_t columns) {
      all.push_back({prefix + role + ".weight", types.matrix(role, layer, columns, false), rows, columns});
    };
    vector("attn_norm", m.hidden);
    if (m.architecture == "qwen3" || m.architecture == "qwen3moe") {
      vector("attn_q_norm", m.head_dim);
      vector("attn_k_norm", m.head_dim);
    }
    matrix("attn_q", q, m.hidden);
    matrix("attn_k", kv, m.hidden);
    matrix("attn_v", kv, m.hidden);
    matrix("attn_output", m.hidden, q);
    vector("ffn_norm", m.hidden);
    if (m.experts == 0) {
      matrix("ffn_gate", m.ffn, m.hidden);
      matrix("ffn_up", m.ffn, m.hidden);
      matrix("ffn_down", m.hidden, m.ffn);
      continue;
    }
    all.push_back({prefix + "ffn_gate_inp.weight", DType::kF32, m.experts, m.hidden});
    const auto experts = [&](const char* role, int64_t rows, int64_t columns) {
      matrix(role, rows, columns);
      all.back().stacked = m.experts;
    };
    experts("ffn_gate_exps", m.ffn, m.hidden);
    experts("ffn_up_exps", m.ffn, m.hidden);
    experts("ffn_down_exps", m.hidden, m.ffn);
  }
  all.push_back({"output_norm.weight", DType::kF32, 0, m.hidden});
  if (!m.tied) all.push_back({"output.weight", types.matrix("output", 0, m.hidden, true), m.vocab, m.hidden});
  return all;
}

// One pool of random blocks per type, from which every tensor takes a stretch of its own: the file is random without a
// second copy of it in memory.
class Pools {
 public:
  explicit Pools(uint64_t seed) : seed_(seed) {}

  void need(DType dtype, int64_t elements) { largest_[dtype] = std::max(largest_[dtype], elements); }
  void fill(float deviation, const std::function<void(double, const std::string&)>& progress) {
    size_t done = 0;
    for (const auto& [dtype, elements] : largest_) {
      if (progress) {
        progress(0.4 * static_cast<double>(done++) / static_cast<double>(largest_.size()),
                 "random " + std::string(to_string(dtype)));
      }
      const int64_t block = info(dtype).block_elements;
      const int64_t count = (elements + block - 1) / block * block + kSpare * block;
      pools_[dtype] = random_weights(dtype, count, deviation, seed_ ^ (static_cast<uint64_t>(dtype) << 32));
    }
  }
  const std::byte* take(DType dtype) {
    const size_t shift = next_++ * 97 % kSpare;  // in blocks
    return pools_.at(dtype).data() + shift * static_cast<size_t>(info(dtype).block_bytes);
  }

 private:
  static constexpr int64_t kSpare = 4096;
  uint64_t seed_;
  size_t next_ = 1;
  std::map<DType, int64_t> largest_;
  std::map<DType, std::vector<std::byte>> pools_;
};

Status check(const RandomModel& m) {
  const auto bad = [](const std::string& what) { return invalid_argument("random model: " + what); };
  constexpr std::string_view kArchitectures[] = {"llama", "qwen2", "qwen3", "qwen3moe"};
  if (std::find(std::begin(kArchitectures), std::end(kArchitectures), m.architecture) == std::end(kArchitectures)) {
    return bad("architecture '" + m.architecture + "'; choose llama, qwen2, qwen3 or qwen3moe");
  }
  const bool with_experts = m.experts != 0;
  if (with_experts != (m.architecture == "qwen3moe") || m.experts > 1024 ||
      (with_experts && (m.experts_used < 1 || m.experts_used > m.experts))) {
    return bad(std::to_string(m.experts) + " experts, " + std::to_string(m.experts_used) +
               " used; qwen3moe has up to " + "1024 and uses some of them, others have none");
  }
  const int64_t sizes[] = {m.hidden, m.ffn, m.layers, m.heads, m.kv_heads, m.head_dim, m.context};
  for (const int64_t size : sizes) {
    if (size < 1 || size > (1 << 24)) return bad("a size of " + std::to_string(size) + " is not between 1 and 2^24");
  }
  if (m.hidden % 32 != 0 || m.ffn % 32 != 0 || m.head_dim % 2 != 0) {
    return bad("hidden and ffn must be multiples of 32, head_dim of 2");
  }
  if (m.heads % m.kv_heads != 0) return bad("kv_heads must divide heads");
  constexpr int64_t kMostWords = 26 * 26 + 26 * 26 * 26 + 26 * 26 * 26 * 26;
  if (m.vocab < kBytes + kSpecialCount || m.vocab > kMostWords) {
    return bad("a vocabulary of " + std::to_string(m.vocab) + "; choose " + std::to_string(kBytes + kSpecialCount) +
               " to " + std::to_string(kMostWords));
  }
  return Status::ok();
}

}  // namespace

std::vector<std::string_view> random_model_shapes() {
  return {"tiny", "tiny-moe", "qwen3-0.6b", "llama-3.2-1b", "qwen3-30b-a3b"};
}

Result<RandomModel> random_model_shape(std::string_view name) {
  RandomModel m;
  m.name = "random " + std::string(name);
  if (name == "tiny") return m;
  if (name == "tiny-moe") {
    m.architecture = "qwen3moe";
    m.ffn = 256, m.experts = 8, m.experts_used = 2;
    return m;
  }
  if (name == "qwen3-30b-a3b") {
    m.architecture = "qwen3moe";
    m.hidden = 2048, m.ffn = 768, m.layers = 48, m.heads = 32, m.kv_heads = 4, m.head_dim = 128;
    m.experts = 128, m.experts_used = 8, m.tied = false;
    m.vocab = 151936, m.merges = 151387, m.context = 40960;
    m.norm_eps = 1e-6f, m.rope_base = 1e6f, m.pre = "qwen2";
    return m;
  }
  if (name == "qwen3-0.6b") {
    m.architecture = "qwen3";
    m.hidden = 1024, m.ffn = 3072, m.layers = 28, m.heads = 16, m.kv_heads = 8, m.head_dim = 128;
    m.vocab = 151936, m.merges = 151387, m.context = 40960;
    m.norm_eps = 1e-6f, m.rope_base = 1e6f, m.pre = "qwen2";
    return m;
  }
  if (name == "llama-3.2-1b") {
    m.hidden = 2048, m.ffn = 8192, m.layers = 16, m.heads = 32, m.kv_heads = 8, m.head_dim = 64;
    m.vocab = 128256, m.merges = 280147, m.context = 131072;
    m.rope_base = 500000.0f, m.rope_factors = true;
    return m;
  }
  return invalid_argument("no shape is called '" + std::string(name) + "'; choose tiny, tiny-moe, qwen3-0.6b, " +
                          "llama-3.2-1b or qwen3-30b-a3b");
}

Status write_random_model(const RandomModel& m, const std::string& path,
                          const std::function<void(double, const std::string&)>& progress) {
  FERRUM_RETURN_IF_ERROR(check(m));
  FERRUM_ASSIGN_OR_RETURN(const Types types, Types::of(m));
  GgufWriter writer;
  set_metadata(writer, m);
  set_vocabulary(writer, m);

  const std::vector<Wanted> wanted = tensors_of(m, types);
  Pools pools(m.seed);
  int64_t longest = m.head_dim;
  for (const Wanted& t : wanted) {
    if (t.rows > 0) pools.need(t.dtype, std::max<int64_t>(1, t.stacked) * t.rows * t.columns);
    longest = std::max(longest, t.columns);
  }
  // Rows of unit-length-ish weights keep activations of one size through the layers.
  pools.fill(1.0f / std::sqrt(static_cast<float>(m.hidden)), progress);
  const std::vector<float> ones(static_cast<size_t>(longest), 1.0f);  // norms and rope factors
  for (const Wanted& t : wanted) {
    ConstView view(ones.data(), DType::kF32, {t.columns});
    if (t.rows > 0) view = ConstView(pools.take(t.dtype), t.dtype, {t.rows, t.columns});
    if (t.stacked > 0) view = ConstView(view.data, t.dtype, {t.stacked, t.rows, t.columns});
    FERRUM_RETURN_IF_ERROR(writer.add_tensor(t.name, view));
  }
  if (m.rope_factors) {
    FERRUM_RETURN_IF_ERROR(
        writer.add_tensor("rope_freqs.weight", ConstView(ones.data(), DType::kF32, {m.head_dim / 2})));
  }
  if (progress) progress(0.5, "writing");
  FERRUM_RETURN_IF_ERROR(writer.write(path));
  if (progress) progress(1.0, "done");
  return Status::ok();
}

}  // namespace ferrum
