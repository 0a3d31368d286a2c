#include "engine/swap_space.h"

#include <algorithm>
#include <limits>
#include <new>

#include "engine/memory.h"

namespace ferrum {
namespace {

constexpr double kAssumedBandwidth = 1e9;  // bytes per second, until a copy was timed: less than any machine has
constexpr double kNewest = 0.2;            // weight of the newest step

}  // namespace

Result<std::unique_ptr<SwapSpace>> SwapSpace::create(int64_t bytes, int64_t block_bytes, int block_size,
                                                     SwapPolicy policy) {
  FERRUM_CHECK(bytes >= 0 && block_bytes > 0 && block_size > 0, "swap space of nothing");
  const int64_t places = std::min<int64_t>(bytes / block_bytes, std::numeric_limits<int32_t>::max());
  if (places == 0) {
    return invalid_argument("swap space of " + format_bytes(bytes) + " is less than a KV block of " +
                            format_bytes(block_bytes) + ": give it more, or none");
  }
  std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[static_cast<size_t>(places * block_bytes)]);
  if (memory == nullptr) return capacity_exceeded("no " + format_bytes(bytes) + " of swap space can be had: lower it");
  return std::unique_ptr<SwapSpace>(
      new SwapSpace(std::move(memory), static_cast<int>(places), block_bytes, block_size, policy));
}

Status SwapSpace::make(std::span<const KvMove> moves, StepRunner& runner) {
  if (moves.empty()) return Status::ok();
  const auto begin = std::chrono::steady_clock::now();
  for (const KvMove& move : moves) {
    std::byte* const place = bytes_.get() + move.place * block_bytes_;
    const bool out = move.kind == KvMove::kOut;
    const Status made = out ? runner.read_block(move.block, place) : runner.write_block(move.block, place);
    if (!made.is_ok()) return made.with_context(out ? "swapping out a KV block" : "swapping in a KV block");
  }
  note_copies(moves.size(), std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  return Status::ok();
}

void SwapSpace::note_step(int tokens, double seconds) {
  const double each = seconds / std::max(1, tokens);
  seconds_per_token_ = seconds_per_token_ == 0 ? each : (1 - kNewest) * seconds_per_token_ + kNewest * each;
}

void SwapSpace::note_copies(size_t blocks, double seconds) {
  const double each = seconds / static_cast<double>(std::max<size_t>(1, blocks));
  seconds_per_copy_ = seconds_per_copy_ == 0 ? each : std::min(seconds_per_copy_, each);
}

bool SwapSpace::pays() const {
  if (policy_ == SwapPolicy::kAlways || seconds_per_token_ == 0) return true;
  const double copy = seconds_per_copy_ > 0 ? seconds_per_copy_ : static_cast<double>(block_bytes_) / kAssumedBandwidth;
  return 2 * copy < block_size_ * seconds_per_token_;
}

}  // namespace ferrum
