#include "engine/memory_plan.h"

#include <algorithm>
#include <bit>
#include <map>
#include <variant>

#include "backend/registry.h"
#include "base/cores.h"
#include "config/machine.h"
#include "engine/capabilities.h"
#include "engine/draft_load.h"
#include "engine/expert_residency.h"
#include "engine/memory.h"
#include "engine/model_backend.h"
#include "engine/roofline.h"
#include "models/registry.h"
#include "models/spec_reader.h"
#include "models/weights.h"
#include "runner/runner.h"
#include "runner/sampler.h"

namespace ferrum {
namespace {

// Measured (docs/memory.md): pages of the program and its libraries that are first touched while a model runs, and what
// the engine's own structures (queue, scheduler, threads' stacks, allocator slack) take beside the named parts.
constexpr int64_t kLaterCodePages = int64_t{4400} << 10;
constexpr int64_t kEngineBase = int64_t{64} << 10;
constexpr int64_t kPerThread = int64_t{64} << 10;

// An accelerator keeps a tenth, at least 2 GiB, for its context, captured graphs and fragmentation: the resolver's
// headroom (config/resolver.cc).
int64_t device_reserve(int64_t device_bytes) { return std::max(device_bytes / 10, int64_t{2} << 30); }

int64_t page_rounded(int64_t bytes) { return (bytes + 4095) / 4096 * 4096; }

// A std::string on the heap: itself, and its text where that is longer than the 15 bytes it can hold within.
int64_t string_bytes(const std::string& text) {
  const auto size = static_cast<int64_t>(text.size());
  return static_cast<int64_t>(sizeof(std::string)) + (size > 15 ? (size + 1 + 8 + 15) / 16 * 16 : 0);
}

struct MetadataSize {
  int64_t bytes = 0;          // of all values as the reader holds them
  int64_t longest_array = 0;  // bytes; growing it held a smaller copy for a moment
};

MetadataSize metadata_size(const Gguf& file) {
  MetadataSize size;
  for (const std::string& key : file.keys()) {
    const GgufValue* value = file.find(key);
    const int64_t bytes = std::visit(
        [](const auto& data) -> int64_t {
          using T = std::decay_t<decltype(data)>;
          if constexpr (std::is_same_v<T, std::vector<std::string>>) {
            int64_t sum = 0;
            for (const std::string& text : data) sum += string_bytes(text);
            return sum + static_cast<int64_t>((data.capacity() - data.size()) * sizeof(std::string));
          } else if constexpr (std::is_same_v<T, std::string>) {
            return string_bytes(data);
          } else if constexpr (requires { data.capacity(); }) {
            return static_cast<int64_t>(data.capacity()) * 8;
          } else {
            return 8;
          }
        },
        value->data);
    size.bytes += bytes + 256;
    size.longest_array = std::max(size.longest_array, bytes);
  }
  size.bytes += static_cast<int64_t>(file.tensors().size()) * 384;  // name, view, index entry
  return size;
}

// The tokenizer's own copies and tables: per token its text, type and symbol; indexes of texts (text/string_index.h) by
// the file's spelling and by the bytes it stands for, the latter with the bytes themselves, and one while the
// vocabulary is checked for duplicates, whose pages the heap may keep; per merge its line and two slots of an open
// table whose size is a power of two.
int64_t tokenizer_size(const Gguf& file) {
  const auto strings = [&](const char* key) -> std::pair<int64_t, int64_t> {
    const auto values = file.get_strings(std::string("tokenizer.ggml.") + key);
    if (!values.is_ok() || *values == nullptr) return {0, 0};
    int64_t bytes = 0;
    for (const std::string& text : **values) bytes += string_bytes(text);
    return {bytes, static_cast<int64_t>((*values)->size())};
  };
  const auto slots = [](int64_t entries) {
    return static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(entries * 2 + 2)));
  };
  const auto [token_bytes, tokens] = strings("tokens");
  const auto [merge_bytes, merges] = strings("merges");
  constexpr int64_t kPerToken = 1 + 4 + 8;  // type, symbol, bytes in the arena
  const int64_t index = tokens * static_cast<int64_t>(sizeof(std::string_view)) + 8 * slots(tokens);
  return token_bytes + kPerToken * tokens + 3 * index + merge_bytes + (merges > 0 ? 16 * slots(merges) : 0);
}

class Planner {
 public:
  Planner(const Gguf& file, const MemoryDemand& demand) : file_(file), demand_(demand), o_(demand.options) {
    if (on_device()) o_.backend = "cuda";  // the one that computes there
  }

  Result<MemoryPlan> run() {
    FERRUM_ASSIGN_OR_RETURN(spec_, read_model_spec(file_));
    FERRUM_ASSIGN_OR_RETURN(const DecoderWeights weights, bind_weights(file_, spec_));
    plan_.available = demand_.available;
    plan_.device_bytes = demand_.device_bytes;
    plan_.model_context = spec_.max_context;
    plan_.resident_before = demand_.process.anonymous + demand_.process.file;
    add_process();
    FERRUM_RETURN_IF_ERROR(add_weights(weights));
    add_text();
    add_compute(weights);
    if (demand_.draft) FERRUM_RETURN_IF_ERROR(add_draft_model());
    FERRUM_RETURN_IF_ERROR(add_kv());
    plan_.options = o_;
    judge();
    return std::move(plan_);
  }

 private:
  bool on_device() const { return demand_.device_bytes.has_value(); }
  MemoryKind compute_kind() const { return on_device() ? MemoryKind::kDevice : MemoryKind::kAnonymous; }
  void add(std::string name, MemoryKind kind, int64_t bytes, std::string detail) {
    plan_.parts.push_back({std::move(name), kind, bytes, std::move(detail)});
  }

  void add_process() {
    add("program", MemoryKind::kFile, demand_.process.file + kLaterCodePages,
        "code and libraries: resident now " + format_bytes(demand_.process.file) + ", the rest when it first runs");
    const int64_t threads = o_.threads * kPerThread;
    add("process", MemoryKind::kAnonymous, demand_.process.anonymous + kEngineBase + threads,
        "heap before loading, engine structures, " + std::to_string(o_.threads) + " threads");
  }

  // The matrices that Linears and Experts are made of.
  struct Matrices {
    std::vector<ConstView> linears, experts;
  };
  static Matrices matrices_of(const DecoderWeights& weights) {
    Matrices m;
    const auto take = [&m](const LinearSpec& linear) {
      for (const WeightRef& part : linear.parts) m.linears.push_back(part.matrix);
    };
    for (const LayerWeights& layer : weights.layers) {
      take(layer.qkv), take(layer.attn_output), take(layer.gate_up), take(layer.ffn_down), take(layer.router);
      for (const ExpertWeights& e : layer.experts.experts) {
        m.experts.insert(m.experts.end(), {e.gate.matrix, e.up.matrix, e.down.matrix});
      }
    }
    take(weights.head);
    return m;
  }

  // Where a model's tensors lie; `whose` precedes the parts' names. Those that the backend copies leave the file's
  // pages, except for the table of embeddings, whose rows are read on.
  void add_placed_weights(const Gguf& file, const DecoderWeights& weights, const ExpertResidency& experts,
                          const std::string& whose) {
    int64_t bytes = 0, copies = 0, left = 0;
    for (const GgufTensor& tensor : file.tensors()) bytes += static_cast<int64_t>(tensor.bytes);
    const auto file_bytes = static_cast<int64_t>(file.file_bytes());
    if (on_device()) {
      int64_t placed = placed_bytes(backend_config(o_), weights.embedding);  // and vectors
      for (const GgufTensor& tensor : file.tensors()) {
        if (tensor.view.rank == 1) placed += placed_bytes(backend_config(o_), tensor.view);
      }
      int64_t packed = 0;
      const Matrices matrices = matrices_of(weights);
      for (const auto* all : {&matrices.linears, &matrices.experts}) {
        for (const ConstView& matrix : *all) packed += copied_bytes(backend_config(o_), matrix);
      }
      add(whose + "weights", MemoryKind::kDevice, placed + packed,
          format_bytes(packed) + " of matrices as its tensor cores want them, and the embeddings");
      add(whose + "model file", MemoryKind::kFile, page_rounded(file_bytes), "mapped while it is copied");
      return;
    }
    const auto count = [&](const ConstView& matrix, bool stays) {
      const int64_t copy = copied_bytes(backend_config(o_), matrix);
      if (stays) copies += page_rounded(copy);
      if (copy > 0 && matrix.data != weights.embedding.data) {
        left += static_cast<int64_t>(bytes_of(matrix.dtype, matrix.dim(0) * matrix.dim(1)));
      }
    };
    const Matrices matrices = matrices_of(weights);
    for (const ConstView& matrix : matrices.linears) count(matrix, true);
    for (const ConstView& matrix : matrices.experts) count(matrix, experts.places == 0);
    add(whose + "weights", MemoryKind::kFile, page_rounded(file_bytes - left),
        "the mapped file: " + format_bytes(bytes - left) + " of tensors in place, the rest metadata");
    add(whose + "packed weights", MemoryKind::kAnonymous, copies,
        copies > 0 ? "copies arranged for the vector units" : "none: all are used in place");
    if (experts.places == 0) return;
    add(whose + "expert cache", MemoryKind::kAnonymous, page_rounded(experts.cache_bytes),
        "places for " + std::to_string(experts.places) + " of " + std::to_string(experts.experts) +
            " experts of each layer; the others are read when they are needed");
  }

  void note_streaming(const ExpertResidency& experts) {
    if (experts.places == 0) return;
    ExpertStreaming s;
    s.experts = experts.experts;
    s.places = experts.places;
    s.cache_bytes = experts.cache_bytes;
    s.hit_share = experts.hit_share();
    s.read_bytes_per_token = static_cast<int64_t>((1 - s.hit_share) * static_cast<double>(experts.token_bytes));
    plan_.streaming = s;
  }

  Status add_weights(const DecoderWeights& weights) {
    std::map<DType, MemoryPart> by_type;
    for (const GgufTensor& tensor : file_.tensors()) {
      MemoryPart& part = by_type[tensor.view.dtype];
      part.kind = on_device() ? MemoryKind::kDevice : MemoryKind::kFile;
      part.name = to_string(tensor.view.dtype);
      part.bytes += static_cast<int64_t>(tensor.bytes);
    }
    for (auto& [dtype, part] : by_type) plan_.weights.push_back(std::move(part));
    std::stable_sort(plan_.weights.begin(), plan_.weights.end(),
                     [](const MemoryPart& a, const MemoryPart& b) { return a.bytes > b.bytes; });
    FERRUM_ASSIGN_OR_RETURN(const ExpertResidency experts,
                            expert_residency(weights, backend_config(o_), on_device() ? 0 : o_.expert_cache_bytes));
    add_placed_weights(file_, weights, experts, "");
    note_streaming(experts);
    add("LoRA adapters", compute_kind(), 0, "none loaded");
    return Status::ok();
  }

  void add_text() {
    const MetadataSize metadata = metadata_size(file_);
    add("metadata", MemoryKind::kAnonymous, metadata.bytes, "keys, vocabulary and tensor index as read from the file");
    add("tokenizer", MemoryKind::kAnonymous, tokenizer_size(file_), "its own tables");
  }

  void add_compute(const DecoderWeights& weights) {
    const int logits = planned_logit_rows(o_);
    add("workspace", compute_kind(), workspace_bytes(spec_, o_.max_batched_tokens, logits),
        "activations of a step: " + std::to_string(o_.max_batched_tokens) + " tokens, " + std::to_string(logits) +
            " rows of logits");
    add("backend scratch", compute_kind(), scratch_of(weights, o_), "quantised activations, row buffers");
    const int64_t row = spec_.vocab_size * static_cast<int64_t>(sizeof(float));
    const auto per_token = static_cast<int64_t>(2 * sizeof(Candidate) + sizeof(ScoredToken));
    add("sampler", MemoryKind::kAnonymous, row + spec_.vocab_size * per_token,
        "one row of logits, its candidates, and the filters' copies");
    if (on_device()) {
      add("logits on the host", MemoryKind::kAnonymous, logits * row, "read back from the device");
      add("device reserve", MemoryKind::kDevice, device_reserve(*demand_.device_bytes),
          "CUDA context, long contexts' scratch, fragmentation: a tenth, at least 2 GiB");
    } else {
      add("CUDA context and graphs", MemoryKind::kDevice, 0, "no accelerator is used");
    }
  }

  static int64_t scratch_of(const DecoderWeights& weights, const EngineOptions& o) {
    std::vector<const ExpertsSpec*> experts;
    for (const LayerWeights& layer : weights.layers) {
      if (!layer.experts.experts.empty()) experts.push_back(&layer.experts);
    }
    Matrices matrices = matrices_of(weights);
    matrices.linears.insert(matrices.linears.end(), matrices.experts.begin(), matrices.experts.end());
    return scratch_bytes(backend_config(o), matrices.linears, experts);
  }

  // All of it but its KV, which has as many blocks as the target's.
  Status add_draft_model() {
    const Gguf& draft = *demand_.draft;
    FERRUM_ASSIGN_OR_RETURN(draft_spec_, read_model_spec(draft));
    FERRUM_ASSIGN_OR_RETURN(const DecoderWeights weights, bind_weights(draft, draft_spec_));
    const EngineOptions o = draft_options(o_);
    const int logits = draft_logit_rows(o_);
    add_placed_weights(draft, weights, {}, "draft ");
    add("draft metadata", MemoryKind::kAnonymous, metadata_size(draft).bytes, "its keys, vocabulary and tensor index");
    add("draft workspace", compute_kind(),
        workspace_bytes(draft_spec_, o.max_batched_tokens, logits) + scratch_of(weights, o),
        "its activations and scratch: " + std::to_string(o.max_batched_tokens) + " tokens, " + std::to_string(logits) +
            " rows of logits");
    add("draft threads", MemoryKind::kAnonymous, o_.threads * kPerThread, "its backend's own");
    return Status::ok();
  }

  int64_t kv_bytes(int block_size) const {
    const int64_t draft = demand_.draft ? Runner::kv_block_bytes(draft_spec_, block_size, o_.kv_dtype) : 0;
    return Runner::kv_block_bytes(spec_, block_size, o_.kv_dtype) + draft;
  }

  // What remains for KV beside all that was added so far.
  std::optional<int64_t> free_for_kv() const {
    if (on_device()) return std::max<int64_t>(0, *demand_.device_bytes - plan_.total(MemoryKind::kDevice));
    if (!demand_.available) return std::nullopt;
    return std::max<int64_t>(0, *demand_.available + plan_.resident_before - plan_.host_total());
  }

  Status add_kv() {
    KvDemand d;
    d.block_bytes = plan_.kv_bytes_per_block = kv_bytes(o_.block_size);
    plan_.kv_bytes_per_token = kv_bytes(1);
    d.block_size = o_.block_size;
    d.max_seqs = o_.max_seqs;
    d.model_context = spec_.max_context;
    d.max_model_len = o_.max_model_len;
    d.kv_blocks = o_.kv_blocks;
    d.memory_fraction = on_device() ? 1.0 : o_.kv_memory_fraction;
    const int64_t swapped = Runner::kv_block_bytes(spec_, o_.block_size, o_.kv_dtype);  // without the draft model's
    add("swap space", MemoryKind::kAnonymous, o_.swap_bytes,
        o_.swap_bytes > 0 ? "for " + std::to_string(o_.swap_bytes / swapped) + " blocks; taken when it is used"
                          : "none: what the KV cache gives up is computed again");
    d.free_bytes = free_for_kv();
    const Result<KvSizing> kv = size_kv(d);
    if (kv.is_ok()) {
      o_.max_model_len = kv->max_model_len;
      o_.kv_blocks = kv->num_blocks;
      plan_.note = kv->note;
    } else if (kv.status().code() == StatusCode::kCapacity) {  // the plan shows what it would have taken
      plan_.verdict = kv.status();
      if (o_.max_model_len == 0) o_.max_model_len = spec_.max_context;
      const int64_t per_seq = (o_.max_model_len + o_.block_size - 1) / o_.block_size;
      if (o_.kv_blocks == 0) o_.kv_blocks = per_seq;
    } else {
      return kv.status();
    }
    add("KV cache", compute_kind(), o_.kv_blocks * d.block_bytes,
        std::to_string(o_.kv_blocks) + " blocks of " + std::to_string(o_.block_size) + " tokens, " +
            std::string(to_string(o_.kv_dtype)) + ", " + format_bytes(plan_.kv_bytes_per_token) + " per token" +
            (demand_.draft ? ", the draft model's included" : ""));
    return Status::ok();
  }

  void judge() {
    const int64_t needed = plan_.host_total() - plan_.resident_before;
    if (plan_.verdict.is_ok() && plan_.available && needed > *plan_.available) {
      plan_.verdict = capacity_exceeded("the model needs " + format_bytes(needed) + " of memory and " +
                                        format_bytes(*plan_.available) + " are free: " + biggest_lever());
    }
    const int64_t device = plan_.total(MemoryKind::kDevice);
    if (plan_.verdict.is_ok() && on_device() && device > *demand_.device_bytes) {
      plan_.verdict =
          capacity_exceeded("the model needs " + format_bytes(device) + " of accelerator memory and it has " +
                            format_bytes(*demand_.device_bytes) + ": " + biggest_lever());
    }
    if (!plan_.verdict.is_ok()) advise();
  }

  // What to lower: the largest part that a setting governs, unless the weights alone are too much.
  std::string biggest_lever() const {
    int64_t weights = 0, workspace = 0, kv = 0, experts = 0;
    for (const MemoryPart& part : plan_.parts) {
      if (part.name == "expert cache") experts = part.bytes;
      if (part.name.ends_with("weights")) weights += part.bytes;
      if (part.name == "workspace" || part.name == "backend scratch") workspace += part.bytes;
      if (part.name == "KV cache") kv = part.bytes;
    }
    const std::optional<int64_t> room = on_device() ? demand_.device_bytes : demand_.available;
    if (room && weights > *room) {
      return "the weights alone take " + format_bytes(weights) + "; use a smaller model or quantisation" +
             (spec_.moe && !on_device() ? ", or keep a part of the experts in memory (FERRUM_EXPERT_CACHE)" : "");
    }
    if (experts > std::max(workspace, kv)) return "lower FERRUM_EXPERT_CACHE (" + format_bytes(experts) + ")";
    if (workspace > kv) return "lower max_batched_tokens (" + std::to_string(o_.max_batched_tokens) + ")";
    return "lower kv_blocks or max_model_len";
  }

  void advise() {
    const auto free = free_without_kv();
    if (!free) return;
    const int64_t usable = on_device() || demand_.options.kv_blocks > 0
                               ? *free
                               : static_cast<int64_t>(static_cast<double>(*free) * o_.kv_memory_fraction);
    const int64_t blocks = usable / plan_.kv_bytes_per_block;
    const int64_t tokens = blocks * o_.block_size;
    if (tokens > 0) {
      plan_.advice.push_back("a context of " + std::to_string(std::min<int64_t>(tokens, spec_.max_context)) +
                             " tokens for one sequence (max_model_len), or kv_blocks " + std::to_string(blocks));
      const int64_t per_seq = std::max<int64_t>(1, (o_.max_model_len + o_.block_size - 1) / o_.block_size);
      if (blocks / per_seq >= 1) {
        plan_.advice.push_back(std::to_string(blocks / per_seq) + " sequences of " + std::to_string(o_.max_model_len) +
                               " tokens (max_seqs)");
      }
    } else {
      plan_.advice.push_back("a smaller model or quantisation: without any KV cache nothing is left");
    }
    if (o_.kv_dtype == DType::kF32) plan_.advice.push_back("half the KV cache with kv_dtype fp16");
    if (o_.kv_dtype != DType::kI8) plan_.advice.push_back("a cache of 8-bit integers with kv_dtype int8");
  }

  std::optional<int64_t> free_without_kv() const {
    int64_t kv = 0;
    for (const MemoryPart& part : plan_.parts) kv += part.name == "KV cache" ? part.bytes : 0;
    if (on_device()) return std::max<int64_t>(0, *demand_.device_bytes - (plan_.total(MemoryKind::kDevice) - kv));
    if (!demand_.available) return std::nullopt;
    return std::max<int64_t>(0, *demand_.available + plan_.resident_before - (plan_.host_total() - kv));
  }

  const Gguf& file_;
  const MemoryDemand& demand_;
  EngineOptions o_;
  ModelSpec spec_, draft_spec_;
  MemoryPlan plan_;
};

}  // namespace

std::string_view to_string(MemoryKind kind) {
  switch (kind) {
    case MemoryKind::kFile: return "file";
    case MemoryKind::kAnonymous: return "anonymous";
    case MemoryKind::kDevice: return "device";
  }
  return "unknown";
}

int64_t MemoryPlan::total(MemoryKind kind) const {
  int64_t sum = 0;
  for (const MemoryPart& part : parts) sum += part.kind == kind ? part.bytes : 0;
  return sum;
}

int planned_logit_rows(const EngineOptions& options) {
  return std::min(options.max_seqs + kScoredPositions, options.max_batched_tokens);
}

int64_t metadata_bytes(const Gguf& file) { return metadata_size(file).bytes; }

Result<MemoryPlan> plan_memory(const Gguf& file, const MemoryDemand& demand) { return Planner(file, demand).run(); }

namespace {

// Of one sequence: the experts of each layer by what they take here, the other matrices at the memory's speed.
Status estimate_streaming(const Gguf& file, MemoryPlan& plan) {
  FERRUM_ASSIGN_OR_RETURN(const ModelSpec spec, read_model_spec(file));
  FERRUM_ASSIGN_OR_RETURN(const ExpertSeconds one, measure_expert_seconds(file, plan.options));
  const Roofline work(file, spec, 0);
  const double bandwidth =
      measure_read_bandwidth(plan.options.threads, bandwidth_buffer(probe_machine(), plan.available));
  const double others = bandwidth > 0 ? (work.body().bytes + work.head().bytes) / bandwidth : 0;
  ExpertStreaming& s = *plan.streaming;
  s.hit_seconds = one.hit;
  s.miss_seconds = one.miss;
  const double experts = s.hit_share * one.hit + (1 - s.hit_share) * one.miss;
  s.tokens_per_second = 1 / (others + spec.num_layers * experts);
  return Status::ok();
}

}  // namespace

Result<PlanReport> plan_file(const std::string& path, const EngineOptions& options, std::optional<int64_t> device_bytes,
                             bool json) {
  MemoryDemand demand;
  demand.options = options;
  if (demand.options.threads == 0) demand.options.threads = process_cores();
  demand.available = available_memory();
  demand.device_bytes = device_bytes;
  if (!device_bytes && options.backend == "cuda") demand.device_bytes = cuda_host().free_memory;
  demand.process = process_memory();
  FERRUM_ASSIGN_OR_RETURN(const std::shared_ptr<const Gguf> file, Gguf::open(path));
  FERRUM_ASSIGN_OR_RETURN(demand.draft, open_draft_model(options.draft_model));
  FERRUM_ASSIGN_OR_RETURN(MemoryPlan plan, plan_memory(*file, demand));
  if (plan.streaming && plan.verdict.is_ok()) FERRUM_RETURN_IF_ERROR(estimate_streaming(*file, plan));
  return PlanReport{json ? render_json(plan) : render_table(plan), plan.verdict.is_ok()};
}

}  // namespace ferrum
