#include "engine/kv_sizing.h"

#include <algorithm>
#include <limits>

#include "engine/memory.h"

namespace ferrum {
namespace {

// Slots (block * block_size + offset) are int32.
constexpr int64_t kMaxSlots = std::numeric_limits<int32_t>::max();

int64_t blocks_for(int64_t tokens, int block_size) { return (tokens + block_size - 1) / block_size; }

std::string bytes_of_blocks(int64_t blocks, const KvDemand& d) {
  return std::to_string(blocks) + " blocks of " + std::to_string(d.block_size) + " tokens (" +
         format_bytes(blocks * d.block_bytes) + ")";
}

Result<int64_t> pool_size(const KvDemand& d, int64_t longest) {
  const int64_t most = kMaxSlots / d.block_size;
  if (d.kv_blocks > 0) {
    if (d.kv_blocks > most) {
      return invalid_argument("kv_blocks is " + std::to_string(d.kv_blocks) + "; with blocks of " +
                              std::to_string(d.block_size) + " tokens at most " + std::to_string(most) +
                              " can be addressed");
    }
    if (d.free_bytes && d.kv_blocks > *d.free_bytes / d.block_bytes) {
      return capacity_exceeded("the KV cache of " + bytes_of_blocks(d.kv_blocks, d) + " does not fit into the " +
                               format_bytes(*d.free_bytes) +
                               " of memory that are free beside the weights: lower kv_blocks");
    }
    return d.kv_blocks;
  }
  int64_t blocks = std::min(most, d.max_seqs * blocks_for(longest, d.block_size));
  if (d.free_bytes) {
    const double budget = static_cast<double>(*d.free_bytes) * d.memory_fraction;
    blocks = std::min(blocks, static_cast<int64_t>(budget / static_cast<double>(d.block_bytes)));
  }
  if (blocks >= 1) return blocks;
  return capacity_exceeded("there is no memory for a KV cache: " + format_bytes(d.free_bytes.value_or(0)) +
                           " are free beside the weights, and one block of " + std::to_string(d.block_size) +
                           " tokens takes " + format_bytes(d.block_bytes) +
                           ": free some memory, use a smaller model or raise "
                           "kv_memory_fraction");
}

}  // namespace

Result<KvSizing> size_kv(const KvDemand& d) {
  FERRUM_CHECK(d.block_bytes > 0 && d.block_size > 0 && d.max_seqs > 0 && d.model_context > 0, "KV sizes of nothing");
  if (d.max_model_len > d.model_context) {
    return invalid_argument("max_model_len is " + std::to_string(d.max_model_len) + ", but the model was trained for " +
                            std::to_string(d.model_context) + " positions");
  }
  const int wanted = d.max_model_len > 0 ? d.max_model_len : d.model_context;
  FERRUM_ASSIGN_OR_RETURN(const int64_t blocks, pool_size(d, wanted));
  KvSizing sizing{static_cast<int>(blocks), wanted, ""};
  const int64_t pool_tokens = blocks * d.block_size;
  if (pool_tokens >= wanted) return sizing;

  const std::string shortage = "a context of " + std::to_string(wanted) + " tokens needs " +
                               bytes_of_blocks(blocks_for(wanted, d.block_size), d) + ", but the KV cache has " +
                               bytes_of_blocks(blocks, d);
  if (d.max_model_len > 0 && d.kv_blocks > 0)
    return invalid_argument(shortage + ": lower max_model_len or raise kv_blocks");
  if (d.max_model_len > 0) {
    return capacity_exceeded(shortage + " (" + format_bytes(d.free_bytes.value_or(0)) +
                             " are free beside the weights): lower max_model_len or raise kv_memory_fraction");
  }
  sizing.max_model_len = static_cast<int>(pool_tokens);
  sizing.note = "the context length is reduced from " + std::to_string(wanted) + " to " + std::to_string(pool_tokens) +
                ": " + shortage;
  return sizing;
}

}  // namespace ferrum
