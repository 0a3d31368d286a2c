// One step of the engine as plain host data: rows of different lengths that go through one forward pass together.
#pragma once

#include <cstdint>
#include <vector>

#include "types/hidden_states.h"
#include "types/ids.h"
#include "types/input_text.h"

namespace ferrum {

// One sequence's part of a step: a prompt chunk (q_len = n), a decoded token (1), or drafted tokens to verify (1 + k).
struct Row {
  SeqId seq = 0;
  int q_begin = 0;      // index of the row's first token in Batch::tokens
  int q_len = 0;        // tokens computed in this step
  int kv_len = 0;       // tokens of the sequence after this step, q_len included
  int logit_begin = 0;  // index of the row's first entry in Batch::logit_rows
  int logit_count = 0;  // how many of its positions want logits (0 for a chunk that is not the last)
  HiddenStates hidden = HiddenStates::kNone;  // wanted of its positions
};

// Copies the KV of one block to another.
struct BlockCopy {
  BlockId from = 0, to = 0;
};

// T = number of tokens of the step, R = rows. There is no "phase": prefill and decode are rows of different length.
struct Batch {
  std::vector<Row> rows;              // [R]
  std::vector<TokenId> tokens;        // [T]; kNoToken where an embedding stands
  std::vector<float> embeddings;      // [E, hidden], one for each kNoToken, in order
  std::vector<int32_t> positions;     // [T] position in the sequence, from 0
  std::vector<int32_t> slots;         // [T] where the token's K and V go: block * block_size + offset
  std::vector<int32_t> token_rows;    // [T] index into rows
  std::vector<int32_t> cu_q;          // [R + 1] prefix sums of q_len
  std::vector<int32_t> kv_lens;       // [R]
  std::vector<BlockId> block_tables;  // [R, max_blocks], padded with 0
  int max_blocks = 0;
  std::vector<int32_t> logit_rows;  // [L] token indices whose logits are wanted
  std::vector<BlockCopy> copies;    // to be made before anything is computed, in any order

  int num_tokens() const { return static_cast<int>(positions.size()); }
  int num_rows() const { return static_cast<int>(rows.size()); }
  int num_logits() const { return static_cast<int>(logit_rows.size()); }
};

}  // namespace ferrum
