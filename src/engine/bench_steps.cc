#include "engine/bench_steps.h"

#include <algorithm>

namespace ferrum {
namespace {

// Any id does: speed does not depend on it. Scattered, so that rows of the embedding are not neighbours by chance.
TokenId token_at(int sequence, int position, int64_t vocab) {
  uint64_t x = (static_cast<uint64_t>(sequence) << 32 | static_cast<uint64_t>(position)) * 0x9e3779b97f4a7c15u;
  x ^= x >> 29;
  return static_cast<TokenId>(x % static_cast<uint64_t>(vocab));
}

void add_piece(const BenchPiece& piece, const BenchLayout& layout, Batch& batch) {
  const int end = piece.begin + piece.count;
  const BlockId first_block = piece.sequence * layout.blocks_per_sequence;
  Row row;
  row.seq = static_cast<SeqId>(piece.sequence);
  row.q_begin = batch.num_tokens();
  row.q_len = piece.count;
  row.kv_len = end;
  row.logit_begin = batch.num_logits();
  row.logit_count = piece.wants_logits ? 1 : 0;
  for (int position = piece.begin; position < end; ++position) {
    batch.tokens.push_back(token_at(piece.sequence, position, layout.vocab));
    batch.positions.push_back(position);
    batch.slots.push_back(first_block * layout.block_size + position);
    batch.token_rows.push_back(batch.num_rows());
  }
  if (piece.wants_logits) batch.logit_rows.push_back(batch.num_tokens() - 1);
  batch.rows.push_back(row);
  batch.cu_q.push_back(batch.num_tokens());
  batch.kv_lens.push_back(end);
}

}  // namespace

std::string BenchTest::name() const {
  std::string text;
  if (prompt > 0) text += "pp" + std::to_string(prompt);
  if (generate > 0) text += (text.empty() ? "tg" : "+tg") + std::to_string(generate);
  if (depth > 0) text += " @ d" + std::to_string(depth);
  return text;
}

std::vector<BenchStep> prompt_steps(int begin, int count, int parallel, int step_tokens) {
  std::vector<BenchStep> steps;
  int room = 0;
  for (int sequence = 0; sequence < parallel; ++sequence) {
    for (int done = 0; done < count;) {
      if (room == 0) {
        steps.emplace_back();
        room = step_tokens;
      }
      const int some = std::min(room, count - done);
      steps.back().push_back({sequence, begin + done, some, done + some == count});
      done += some;
      room -= some;
    }
  }
  return steps;
}

std::vector<BenchStep> generate_steps(int begin, int count, int parallel) {
  std::vector<BenchStep> steps;
  for (int i = 0; i < count; ++i) {
    BenchStep& step = steps.emplace_back();
    for (int sequence = 0; sequence < parallel; ++sequence) step.push_back({sequence, begin + i, 1, true});
  }
  return steps;
}

std::vector<BenchStep> timed_steps(const BenchTest& test, int step_tokens) {
  std::vector<BenchStep> steps = prompt_steps(test.depth, test.prompt, test.parallel, step_tokens);
  for (BenchStep& step : generate_steps(test.depth + test.prompt, test.generate, test.parallel)) {
    steps.push_back(std::move(step));
  }
  return steps;
}

Batch bench_batch(const BenchStep& step, const BenchLayout& layout) {
  Batch batch;
  batch.cu_q.push_back(0);
  for (const BenchPiece& piece : step) {
    add_piece(piece, layout, batch);
    batch.max_blocks = std::max(batch.max_blocks, (piece.begin + piece.count - 1) / layout.block_size + 1);
  }
  for (const BenchPiece& piece : step) {
    const int blocks = (piece.begin + piece.count - 1) / layout.block_size + 1;
    for (int b = 0; b < batch.max_blocks; ++b) {
      batch.block_tables.push_back(b < blocks ? piece.sequence * layout.blocks_per_sequence + b : 0);
    }
  }
  return batch;
}

}  // namespace ferrum
