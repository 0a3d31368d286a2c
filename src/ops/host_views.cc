#include "ops/backend.h"

namespace ferrum {
namespace {

ConstView ints(const std::vector<int32_t>& v) {
  return ConstView(v.data(), DType::kI32, {static_cast<int64_t>(v.size())});
}

}  // namespace

DeviceBatch host_views(const Batch& batch) {
  DeviceBatch d;
  d.num_tokens = batch.num_tokens();
  d.num_rows = batch.num_rows();
  d.num_logits = batch.num_logits();
  d.max_blocks = batch.max_blocks;
  if (batch.embeddings.empty()) {
    d.tokens = ints(batch.tokens);
  } else {
    const int64_t hidden = static_cast<int64_t>(batch.embeddings.size()) / d.num_tokens;
    d.embeddings = ConstView(batch.embeddings.data(), DType::kF32, {d.num_tokens, hidden});
  }
  d.positions = ints(batch.positions);
  d.slots = ints(batch.slots);
  d.token_rows = ints(batch.token_rows);
  d.cu_q = ints(batch.cu_q);
  d.kv_lens = ints(batch.kv_lens);
  d.block_tables = ConstView(batch.block_tables.data(), DType::kI32, {d.num_rows, d.max_blocks});
  d.logit_rows = ints(batch.logit_rows);
  return d;
}

}  // namespace ferrum
