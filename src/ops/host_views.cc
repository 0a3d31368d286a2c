#include <algorithm>

#include "base/check.h"
#include "ops/backend.h"

namespace ferrum {
namespace {

ConstView ints(const std::vector<int32_t>& v) {
  return ConstView(v.data(), DType::kI32, {static_cast<int64_t>(v.size())});
}

// Neighbours of one kind are one run.
std::vector<DeviceBatch::InputRun> input_runs(const std::vector<TokenId>& tokens) {
  std::vector<DeviceBatch::InputRun> runs;
  int embeddings = 0;
  for (int i = 0; i < static_cast<int>(tokens.size()); ++i) {
    const bool embedded = tokens[static_cast<size_t>(i)] == kNoToken;
    if (runs.empty() || embedded != (runs.back().first_embedding >= 0)) {
      runs.push_back({i, 0, embedded ? embeddings : -1});
    }
    ++runs.back().count;
    embeddings += embedded ? 1 : 0;
  }
  return runs;
}

std::vector<DeviceBatch::HiddenRun> hidden_runs(const std::vector<Row>& rows) {
  std::vector<DeviceBatch::HiddenRun> runs;
  for (const Row& row : rows) {
    if (row.hidden == HiddenStates::kNone) continue;
    runs.push_back({row.q_begin, row.q_len, row.hidden == HiddenStates::kPostNorm});
  }
  return runs;
}

}  // namespace

DeviceBatch host_views(const Batch& batch) {
  DeviceBatch d;
  d.num_tokens = batch.num_tokens();
  d.num_rows = batch.num_rows();
  d.num_logits = batch.num_logits();
  d.max_blocks = batch.max_blocks;
  d.tokens = ints(batch.tokens);
  if (!batch.embeddings.empty()) {
    const int64_t rows = std::ranges::count(batch.tokens, kNoToken);
    FERRUM_CHECK(rows > 0, "embeddings that no position has");
    const int64_t width = static_cast<int64_t>(batch.embeddings.size()) / rows;
    d.embeddings = ConstView(batch.embeddings.data(), DType::kF32, {rows, width});
  }
  d.inputs = input_runs(batch.tokens);
  d.hidden = hidden_runs(batch.rows);
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
