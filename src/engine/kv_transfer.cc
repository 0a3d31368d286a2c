// EngineCore: KV out of the prefix cache and into it, between two steps.
#include <algorithm>

#include "engine/engine_core.h"
#include "engine/memory.h"

namespace ferrum {

// A caller without engine thread runs the steps itself, so there is none now.
Status EngineCore::between_steps(const std::function<void()>& call) {
  std::future<bool> made;
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return cancelled("the engine is shutting down");
    if (thread_.joinable()) made = visits_.emplace_back(Visit{&call, {}}).made.get_future();
  }
  if (!made.valid()) {
    call();
    return Status::ok();
  }
  work_.notify_one();
  return made.get() ? Status::ok() : cancelled("the engine is shutting down");
}

// Without the lock, which `call` takes for as long as it needs it.
void EngineCore::make_visits() {
  std::vector<Visit> visits;
  {
    std::lock_guard lock(mutex_);
    visits.swap(visits_);
  }
  for (Visit& visit : visits) {
    (*visit.call)();
    visit.made.set_value(true);
  }
}

std::vector<PrefixHash> EngineCore::chain_of(std::span<const TokenId> text, const std::string& salt) const {
  const auto most = static_cast<size_t>(options_.num_blocks) * static_cast<size_t>(options_.block_size);
  return text_chain("", salt).extend(text.first(std::min(text.size(), most)));
}

namespace {

Status check_memory(int64_t bytes) {
  const std::optional<int64_t> available = available_memory();
  if (!available || bytes <= *available) return Status::ok();
  return capacity_exceeded("the KV takes " + format_bytes(bytes) + " for a moment and " + format_bytes(*available) +
                           " of memory are free");
}

}  // namespace

Result<SavedKv> EngineCore::export_kv(std::span<const TokenId> text, const std::string& salt) {
  if (!options_.prefix_cache || options_.kv.block_bytes == 0)
    return unsupported("KV is saved from the prefix cache, which is switched off");
  const std::vector<PrefixHash> chain = chain_of(text, salt);
  SavedKv kv;
  Status status;
  const auto copy = [&] {
    std::vector<BlockId> blocks;
    {
      std::lock_guard lock(mutex_);
      const PrefixMatch match = kv_.match(chain, static_cast<int>(chain.size()) * options_.block_size);
      blocks = kv_.found(chain, match);
      kv.missing = match.missing;
      // What is swapped out would have to be swapped in first.
      const auto begin = blocks.begin() + std::min<std::ptrdiff_t>(match.missing, std::ssize(blocks));
      blocks.erase(std::find(begin, blocks.end(), kNoBlock), blocks.end());
      if (std::ssize(blocks) == match.missing) blocks.clear();
    }
    if (blocks.empty()) return;
    const size_t bytes = (blocks.size() - static_cast<size_t>(kv.missing)) * SavedKv::stride(options_.kv);
    if (status = check_memory(static_cast<int64_t>(bytes)); !status.is_ok()) return;
    kv.tokens.assign(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(blocks.size()) * options_.block_size);
    kv.blocks.resize(bytes);
    for (int i = kv.missing; i < static_cast<int>(blocks.size()) && status.is_ok(); ++i)
      status = runner_->read_block(blocks[static_cast<size_t>(i)], kv.block(i, options_.kv));
  };
  FERRUM_RETURN_IF_ERROR(between_steps(copy));
  FERRUM_RETURN_IF_ERROR(status);
  if (!kv.tokens.empty()) return kv;
  return not_found("the KV cache holds no whole block (" + std::to_string(options_.block_size) +
                   " tokens) of the text: it is shorter, was never computed, or was evicted");
}

Status EngineCore::import_kv(const SavedKv& kv, const std::string& salt) {
  if (!options_.prefix_cache || options_.kv.block_bytes == 0)
    return unsupported("KV is restored into the prefix cache, which is switched off");
  const std::vector<PrefixHash> chain = chain_of(kv.tokens, salt);
  Status adopted;
  const auto copy = [&] {
    std::unique_lock lock(mutex_);
    const auto to_fill = kv_.adopt(chain, kv.missing);
    const std::vector<KvMove> moves = kv_.take_moves();
    lock.unlock();
    Status copied;
    if (options_.swap) copied = options_.swap->make(moves, *runner_);
    forget_drafts(moves);
    adopted = to_fill.status();
    // Nobody finds the blocks before: sequences are admitted by this thread.
    for (size_t i = 0; to_fill.is_ok() && i < to_fill->size() && copied.is_ok(); ++i) {
      const auto& [index, block] = (*to_fill)[i];
      copied = runner_->write_block(block, kv.block(index, options_.kv));
      if (draft_model_) draft_model_->forget(block);
    }
    if (copied.is_ok()) return;
    adopted = copied;
    forget_contents();
  };
  FERRUM_RETURN_IF_ERROR(between_steps(copy));
  return adopted;
}

}  // namespace ferrum
