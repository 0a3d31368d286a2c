// Memory of the host for KV blocks that the pool had to give up, and whether that pays.
//
// Only bytes and times: which block is where, the allocator knows (kv/block_allocator.h).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "engine/step_runner.h"
#include "kv/block_allocator.h"

namespace ferrum {

enum class SwapPolicy {
  kWhereCheaper,  // than computing the KV again, as far as the times of this engine tell
  kAlways,        // for tests
};

class SwapSpace {
 public:
  // kInvalidArgument where not one block fits, kCapacity where the memory cannot be had. It is taken when it is first
  // written.
  static Result<std::unique_ptr<SwapSpace>> create(int64_t bytes, int64_t block_bytes, int block_size,
                                                   SwapPolicy policy = SwapPolicy::kWhereCheaper);

  int places() const { return places_; }
  // Copies blocks out of the pool and into it, in this order. A failure is the device's; what the moves should have
  // moved is then lost.
  [[nodiscard]] Status make(std::span<const KvMove> moves, StepRunner& runner);

  // A step that read prompt tokens took so long, and to copy so many blocks.
  void note_step(int tokens, double seconds);
  void note_copies(size_t blocks, double seconds);
  // Whether a block is sooner copied out and in than computed again. While there is nothing to tell by: yes.
  bool pays() const;

 private:
  SwapSpace(std::unique_ptr<std::byte[]> bytes, int places, int64_t block_bytes, int block_size, SwapPolicy policy)
      : bytes_(std::move(bytes)),
        places_(places),
        block_bytes_(block_bytes),
        block_size_(block_size),
        policy_(policy) {}

  const std::unique_ptr<std::byte[]> bytes_;
  const int places_;
  const int64_t block_bytes_;
  const int block_size_;
  const SwapPolicy policy_;
  double seconds_per_token_ = 0;  // of late; 0 = no step yet
  double seconds_per_copy_ = 0;   // the least so far, since the first write to a page costs more; 0 = none yet
};

}  // namespace ferrum
