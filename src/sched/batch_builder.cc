#include "sched/batch_builder.h"

#include <algorithm>

namespace ferrum {
namespace {

void append_row(Batch& batch, const PlannedRow& planned, const BlockAllocator& kv, const InputText& text) {
  const std::span<const BlockId> table = kv.table(planned.seq);
  const int end = planned.begin + planned.count;
  FERRUM_CHECK(end <= static_cast<int>(text.tokens.size()) && kv.blocks_for(end) <= static_cast<int>(table.size()),
               "a planned row without tokens or blocks");
  Row row{planned.seq, batch.num_tokens(), planned.count, end, batch.num_logits(), planned.logit_count};
  for (int p = planned.begin; p < end; ++p) {
    if (p >= end - planned.logit_count) batch.logit_rows.push_back(batch.num_tokens());
    batch.tokens.push_back(text.tokens[static_cast<size_t>(p)]);
    batch.positions.push_back(p);
    batch.slots.push_back(table[static_cast<size_t>(p / kv.block_size())] * kv.block_size() + p % kv.block_size());
    batch.token_rows.push_back(batch.num_rows());
  }
  if (!text.embeddings.empty()) {
    const size_t first = text.rows_before(static_cast<size_t>(planned.begin));
    const auto rows = text.rows(first, text.rows_before(static_cast<size_t>(end)) - first);
    batch.embeddings.insert(batch.embeddings.end(), rows.begin(), rows.end());
  }
  batch.rows.push_back(row);
  batch.cu_q.push_back(batch.num_tokens());
  batch.kv_lens.push_back(end);
}

}  // namespace

Batch build_batch(const StepPlan& plan, const BlockAllocator& kv, const TextOf& text_of) {
  Batch batch;
  batch.copies = plan.reservation.copies;
  batch.cu_q.push_back(0);
  for (const PlannedRow& row : plan.rows) {
    append_row(batch, row, kv, text_of(row.seq));
    batch.max_blocks = std::max(batch.max_blocks, kv.blocks_for(row.begin + row.count));
  }
  batch.block_tables.assign(plan.rows.size() * static_cast<size_t>(batch.max_blocks), 0);
  auto out = batch.block_tables.begin();
  for (const PlannedRow& row : plan.rows) {
    // What fell out of the window is not read; any block will do. A table can be longer than the step needs it: blocks
    // for guesses that were not made.
    const std::span<const BlockId> whole = kv.table(row.seq);
    const auto table = whole.first(std::min(whole.size(), static_cast<size_t>(batch.max_blocks)));
    std::transform(table.begin(), table.end(), out, [](BlockId b) { return b == kNoBlock ? 0 : b; });
    out += batch.max_blocks;
  }
  return batch;
}

}  // namespace ferrum
