// How many blocks of KV cache there are unless somebody says. Internal to the resolver.
#pragma once

#include "config/capabilities.h"
#include "config/recorder.h"

namespace ferrum {

struct KvNeed {
  int64_t max_seqs = 1;
  int64_t block_size = 16;
  std::optional<int64_t> bytes_per_token;  // of K and V over all layers
  std::optional<int64_t> weight_bytes;
  std::optional<int64_t> context;  // tokens that a sequence may have
};

// On an accelerator (or unknown hardware): 2048 blocks, or what its memory has left beside the weights and a headroom
// of a tenth (at least 2 GiB), but a token per sequence.
Count accelerator_kv_blocks(const KvNeed& need, std::optional<int64_t> vram_bytes);

// On the host: as many tokens as 2048 blocks of 16 have, or one whole context if that is more, but no more than all
// sequences can use, and at most `fraction` of the memory that the weights leave free. kCapacity where that is not a
// token for every sequence.
Result<Count> host_kv_blocks(const KvNeed& need, int64_t free_memory, double fraction);

}  // namespace ferrum
