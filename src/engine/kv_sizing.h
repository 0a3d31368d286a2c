// How many KV blocks there are, and how long a sequence may get. Pure arithmetic.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/status.h"

namespace ferrum {

struct KvDemand {
  int64_t block_bytes = 0;  // of all layers
  int block_size = 16;      // tokens
  int max_seqs = 1;
  int model_context = 0;              // positions the model was trained for
  int max_model_len = 0;              // 0 = the model's, or what the memory holds if that is less
  int64_t kv_blocks = 0;              // 0 = as many as max_seqs sequences of max_model_len need, within the budget
  double memory_fraction = 0.5;       // of free_bytes that may become KV when kv_blocks is 0
  std::optional<int64_t> free_bytes;  // after the weights; nullopt = unknown, no limit is applied
};

struct KvSizing {
  int num_blocks = 0;
  int max_model_len = 0;
  std::string note;  // what was reduced and why, for the log; empty if nothing was
};

// kInvalidArgument: a max_model_len beyond the model's, or beyond the kv_blocks asked for. kCapacity: the memory does
// not suffice. Messages give the numbers and the ways out.
Result<KvSizing> size_kv(const KvDemand& demand);

}  // namespace ferrum
