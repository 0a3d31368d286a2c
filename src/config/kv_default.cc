#include "config/kv_default.h"

#include <algorithm>

#include "config/resolver.h"

namespace ferrum {
namespace {

constexpr int64_t kMinHeadroom = int64_t{2} << 30;
constexpr int64_t kDefaultTokens = kDefaultKvBlocks * kDefaultBlockSize;

}  // namespace

Count accelerator_kv_blocks(const KvNeed& need, std::optional<int64_t> vram_bytes) {
  const int64_t least = ceil_div(std::max<int64_t>(need.max_seqs, 1), need.block_size);
  const int64_t target = std::max(kDefaultKvBlocks, least);
  int64_t selected = target;
  if (vram_bytes && need.weight_bytes && need.bytes_per_token && *need.bytes_per_token > 0) {
    const int64_t headroom = std::max(*vram_bytes / 10, kMinHeadroom);
    const int64_t left = std::max<int64_t>(*vram_bytes - headroom, 0);
    const int64_t available = *need.weight_bytes >= left ? 0 : left - *need.weight_bytes;
    selected = std::min(target, std::max(available / *need.bytes_per_token / need.block_size, least));
  }
  return {
      std::max<int64_t>(selected, 1), selected < target ? Source::kHardwareCapability : Source::kWorkloadPreset, {}};
}

Result<Count> host_kv_blocks(const KvNeed& need, int64_t free_memory, double fraction) {
  Count blocks{ceil_div(kDefaultTokens, need.block_size), Source::kWorkloadPreset, {}};
  if (need.context) {
    const int64_t per_sequence = ceil_div(*need.context, need.block_size);
    blocks.value = std::max(blocks.value, per_sequence);
    if (const int64_t useful = saturating_mul(need.max_seqs, per_sequence); useful < blocks.value) {
      blocks = {useful, Source::kModelMetadata, {}};
    }
  }
  if (!need.bytes_per_token || *need.bytes_per_token <= 0) return blocks;
  const int64_t block_bytes = saturating_mul(*need.bytes_per_token, need.block_size);
  const int64_t free_bytes = std::max<int64_t>(free_memory - need.weight_bytes.value_or(0), 0);
  const auto affordable =
      static_cast<int64_t>(static_cast<double>(free_bytes) * fraction / static_cast<double>(block_bytes));
  const int64_t least = ceil_div(need.max_seqs, need.block_size);  // a token for everybody
  if (affordable < least) {
    return capacity_exceeded("there is no memory for a KV cache: " + std::to_string(free_memory) +
                             " bytes are free, the weights take " + std::to_string(need.weight_bytes.value_or(0)) +
                             ", and " + std::to_string(least) + " blocks of " + std::to_string(need.block_size) +
                             " tokens take " + std::to_string(saturating_mul(block_bytes, least)) +
                             ": free some memory, take a smaller model, raise FERRUM_KV_MEMORY_FRACTION or lower "
                             "FERRUM_PAGED_MAX_SEQS");
  }
  if (affordable < blocks.value) blocks = {affordable, Source::kHardwareCapability, {}};
  return blocks;
}

}  // namespace ferrum
