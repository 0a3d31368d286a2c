#include "runner/runner.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>

#include "ops/kv_dtype.h"

namespace ferrum {
namespace {

Status validate(const RunnerOptions& o) {
  const auto bad = [](const std::string& what) { return invalid_argument("runner: " + what); };
  if (o.max_tokens < 1) return bad("max_tokens is " + std::to_string(o.max_tokens) + "; it must be at least 1");
  if (o.max_logits < 1 || o.max_logits > o.max_tokens) {
    return bad("max_logits is " + std::to_string(o.max_logits) + "; it must be between 1 and max_tokens");
  }
  if (o.num_blocks < 1) return bad("the KV cache has " + std::to_string(o.num_blocks) + " blocks; it needs at least 1");
  if (o.block_size < 1) return bad("block_size is " + std::to_string(o.block_size) + "; it must be at least 1");
  if (int64_t{o.num_blocks} * o.block_size > INT32_MAX) return bad("the KV cache has more than 2^31 slots");
  if (!is_kv_dtype(o.kv_dtype)) {
    return bad("a KV cache of " + std::string(to_string(o.kv_dtype)) + " is not supported; choose " + kKvDTypes);
  }
  return Status::ok();
}

}  // namespace

int64_t Runner::kv_block_bytes(const ModelSpec& spec, int block_size, DType kv_dtype) {
  return int64_t{2} * spec.num_layers * spec.num_kv_heads * block_size * kv_row_bytes(kv_dtype, spec.head_dim);
}

Result<std::unique_ptr<Runner>> Runner::create(std::unique_ptr<Backend> backend, std::unique_ptr<Model> model,
                                               const RunnerOptions& options) {
  FERRUM_RETURN_IF_ERROR(validate(options));
  std::unique_ptr<Runner> runner(new Runner(std::move(backend), std::move(model), options));
  FERRUM_RETURN_IF_ERROR(runner->allocate_kv());
  FERRUM_ASSIGN_OR_RETURN(runner->workspace_,
                          runner->model_->make_workspace(*runner->backend_, options.max_tokens, options.max_logits));
  if (const View& load = runner->workspace_.expert_load; load.rank > 0) {
    runner->fetched_load_.assign(static_cast<size_t>(load.elements()), 0);
    runner->load_ = runner->fetched_load_;
  }
  return runner;
}

Result<View> Runner::allocate_view(DType dtype, std::initializer_list<int64_t> dims) {
  View view(nullptr, dtype, dims);
  FERRUM_ASSIGN_OR_RETURN(Buffer buffer, backend_->allocate(bytes_of(dtype, view.elements())));
  view.data = buffer.data();
  kv_buffers_.push_back(std::move(buffer));
  return view;
}

// K, V and, where the type has them, the scales of K and of V.
Result<KvLayer> Runner::allocate_layer() {
  const int64_t blocks = options_.num_blocks, heads = model_->spec().num_kv_heads;
  const auto cache = [&] {
    return allocate_view(options_.kv_dtype, {blocks, heads, options_.block_size, model_->spec().head_dim});
  };
  const auto scales = [&] { return allocate_view(DType::kF32, {blocks, heads, options_.block_size}); };
  KvLayer layer;
  FERRUM_ASSIGN_OR_RETURN(layer.k, cache());
  FERRUM_ASSIGN_OR_RETURN(layer.v, cache());
  if (!has_kv_scales(options_.kv_dtype)) return layer;
  FERRUM_ASSIGN_OR_RETURN(layer.k_scale, scales());
  FERRUM_ASSIGN_OR_RETURN(layer.v_scale, scales());
  return layer;
}

Status Runner::allocate_kv() {
  const int layers = model_->spec().num_layers;
  kv_.dtype = options_.kv_dtype;
  kv_.block_size = options_.block_size;
  kv_.num_blocks = options_.num_blocks;
  for (int layer = 0; layer < layers; ++layer) {
    Result<KvLayer> views = allocate_layer();
    if (!views.is_ok()) {
      return views.status().with_context("KV cache of " + std::to_string(options_.num_blocks) + " blocks, layer " +
                                         std::to_string(layer + 1) + " of " + std::to_string(layers));
    }
    kv_.layers.push_back(std::move(views).value());
  }
  return Status::ok();
}

// A row's place in the arrays, its blocks, and that its tokens are written where its table says they will be read.
void Runner::check_row(const Batch& batch, size_t index) const {
  const Row& row = batch.rows[index];
  const std::string where = "row " + std::to_string(index);
  FERRUM_CHECK(row.q_len > 0 && row.q_begin == batch.cu_q[index] && row.q_begin + row.q_len == batch.cu_q[index + 1],
               where + " does not follow the one before it");
  FERRUM_CHECK(row.kv_len >= row.q_len && row.kv_len == batch.kv_lens[index], where + ": lengths differ");
  FERRUM_CHECK(int64_t{batch.max_blocks} * kv_.block_size >= row.kv_len, where + " needs more blocks than it has");
  FERRUM_CHECK(row.logit_begin >= 0 && row.logit_count >= 0 && row.logit_begin + row.logit_count <= batch.num_logits(),
               where + ": logits out of range");
  const BlockId* table = batch.block_tables.data() + index * static_cast<size_t>(batch.max_blocks);
  for (int block = 0; block * kv_.block_size < row.kv_len; ++block) {
    FERRUM_CHECK(table[block] >= 0 && table[block] < kv_.num_blocks, where + ": block id out of range");
  }
  for (int i = 0; i < row.q_len; ++i) {
    const auto token = static_cast<size_t>(row.q_begin + i);
    const int position = row.kv_len - row.q_len + i;
    FERRUM_CHECK(batch.token_rows[token] == static_cast<int32_t>(index) && batch.positions[token] == position,
                 where + ": positions are not consecutive");
    const int slot = table[position / kv_.block_size] * kv_.block_size + position % kv_.block_size;
    FERRUM_CHECK(batch.slots[token] == slot, where + ": a slot outside its block table");
  }
}

void Runner::check(const Batch& batch) const {
  const auto tokens = static_cast<size_t>(batch.num_tokens());
  const size_t rows = batch.rows.size();
  FERRUM_CHECK(batch.num_tokens() <= options_.max_tokens, "more tokens than a step may have");
  FERRUM_CHECK(batch.num_logits() <= options_.max_logits, "more logits than a step may have");
  const auto hidden = static_cast<size_t>(model_->spec().hidden_size);
  const auto embedded = static_cast<size_t>(std::ranges::count(batch.tokens, kNoToken));
  FERRUM_CHECK(batch.tokens.size() == tokens && batch.embeddings.size() == embedded * hidden,
               "either one id or one embedding per token");
  FERRUM_CHECK(batch.slots.size() == tokens && batch.token_rows.size() == tokens, "arrays of different length");
  FERRUM_CHECK(batch.cu_q.size() == rows + 1 && batch.cu_q[0] == 0 && batch.cu_q[rows] == batch.num_tokens(),
               "cu_q does not cover the tokens");
  FERRUM_CHECK(
      batch.kv_lens.size() == rows && batch.block_tables.size() == rows * static_cast<size_t>(batch.max_blocks),
      "arrays of different length");
  for (TokenId token : batch.tokens) {
    FERRUM_CHECK(token == kNoToken || (token >= 0 && token < model_->spec().vocab_size),
                 "token id out of the vocabulary");
  }
  for (int32_t index : batch.logit_rows) {
    FERRUM_CHECK(index >= 0 && index < batch.num_tokens(), "logit row out of range");
  }
  for (const BlockCopy& copy : batch.copies) {
    const auto is_block = [&](BlockId block) { return block >= 0 && block < kv_.num_blocks; };
    FERRUM_CHECK(is_block(copy.from) && is_block(copy.to), "a copy of no such block");
  }
  for (size_t i = 0; i < rows; ++i) check_row(batch, i);
}

// A block is contiguous in each view, whatever its inner order, so its bytes are its KV.
template <typename Visitor>
Status Runner::visit_block(BlockId block, const Visitor& visitor) const {
  FERRUM_CHECK(block >= 0 && block < kv_.num_blocks, "KV of no such block");
  for (const KvLayer& layer : kv_.layers) {
    for (const View* view : {&layer.k, &layer.v, &layer.k_scale, &layer.v_scale}) {
      if (view->rank == 0) continue;
      const auto bytes = bytes_of(view->dtype, view->elements()) / kv_.num_blocks;
      FERRUM_RETURN_IF_ERROR(visitor(static_cast<std::byte*>(view->data) + block * bytes, static_cast<size_t>(bytes)));
    }
  }
  return Status::ok();
}

Status Runner::read_block(BlockId block, std::byte* to) const {
  return visit_block(block, [&](const std::byte* part, size_t bytes) {
    std::byte* const place = std::exchange(to, to + bytes);
    return backend_->copy_to_host(place, part, bytes);
  });
}

Status Runner::write_block(BlockId block, const std::byte* from) {
  return visit_block(block, [&](std::byte* part, size_t bytes) {
    const std::byte* const place = std::exchange(from, from + bytes);
    return backend_->copy_to_device(part, place, bytes);
  });
}

Status Runner::copy_blocks(const std::vector<BlockCopy>& copies) {
  for (const BlockCopy& copy : copies) {
    if (copy.from == copy.to) continue;
    const std::ptrdiff_t blocks = copy.to - copy.from;
    FERRUM_RETURN_IF_ERROR(visit_block(copy.from, [&](std::byte* part, size_t bytes) {
      return backend_->copy_on_device(part + blocks * static_cast<std::ptrdiff_t>(bytes), part, bytes);
    }));
  }
  return Status::ok();
}

Result<StepOutput> Runner::run(const Batch& batch) {
  check(batch);
  FERRUM_RETURN_IF_ERROR(copy_blocks(batch.copies));
  FERRUM_ASSIGN_OR_RETURN(const DeviceBatch device, backend_->upload(batch));
  const ForwardResult result = model_->forward(backend_->ops(), device, kv_, workspace_);
  FERRUM_RETURN_IF_ERROR(fetch_expert_load());
  find_router_fault();
  StepOutput output;
  if (result.hidden.rank == 0) {
    FERRUM_ASSIGN_OR_RETURN(output.logits, backend_->download(result.logits));
    return output;
  }
  // Both are wanted: download() keeps one result at a time.
  FERRUM_ASSIGN_OR_RETURN(const ConstView states, backend_->download(result.hidden));
  hidden_.assign(states.as<float>(), states.as<float>() + states.elements());
  output.hidden = ConstView(hidden_.data(), DType::kF32, {states.dim(0), states.dim(1)});
  FERRUM_ASSIGN_OR_RETURN(output.logits, backend_->download(result.logits));
  return output;
}

std::vector<ExpertLoad> Runner::expert_load() const {
  const View& load = workspace_.expert_load;
  std::vector<ExpertLoad> layers;
  if (load.rank == 0) return layers;
  auto at = load_.begin();
  for (int64_t layer = 0; layer < load.dim(0); ++layer) {
    std::vector<int64_t> counts;
    for (int64_t e = 0; e < load.dim(1); ++e) {
      counts.push_back(std::atomic_ref(const_cast<int64_t&>(*at++)).load(std::memory_order_relaxed));
    }
    const int64_t last = counts.back();
    counts.pop_back();
    layers.push_back({std::move(counts), last});
  }
  return layers;
}

Status Runner::fetch_expert_load() {
  if (load_.empty()) return Status::ok();
  const size_t bytes = load_.size() * sizeof(load_[0]);
  FERRUM_RETURN_IF_ERROR(backend_->copy_to_host(fetched_load_.data(), workspace_.expert_load.data, bytes));
  for (size_t i = 0; i < load_.size(); ++i) {
    std::atomic_ref(load_[i]).store(fetched_load_[i], std::memory_order_relaxed);
  }
  return Status::ok();
}

void Runner::find_router_fault() {
  const View& load = workspace_.expert_load;
  router_fault_.clear();
  if (load.rank == 0) return;
  faults_.resize(static_cast<size_t>(load.dim(0)));
  for (int64_t layer = 0; layer < load.dim(0); ++layer) {
    const int64_t count = fetched_load_[static_cast<size_t>((layer + 1) * load.dim(1) - 1)];
    if (count > faults_[static_cast<size_t>(layer)] && router_fault_.empty()) {
      const std::string index = std::to_string(layer);
      router_fault_ =
          "the router of layer " + index + " ('blk." + index + ".ffn_gate_inp.weight') gave NaN or infinity";
    }
    faults_[static_cast<size_t>(layer)] = count;
  }
}

}  // namespace ferrum
