// Who touched which byte of shared memory since the last barrier.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ferrum::cuda::emulation {

// The moment of an access: how many block barriers and warp barriers its thread has passed. Barrier counts go up from
// block to block, so that nothing need be cleared.
struct Moment {
  uint64_t barriers = 0;
  uint32_t warp_barriers = 0;
  int thread = 0;
  int warp() const { return thread / 32; }
};

class RaceCheck {
 public:
  explicit RaceCheck(size_t bytes) : bytes_(bytes) {}

  // The barrier count at which a new block starts: what was written before is not its own.
  void start_block(uint64_t barriers) { block_start_ = barriers; }

  // What is wrong with the access, as the end of a sentence about it; null if nothing is.
  const char* read(size_t at, const Moment& now);
  const char* write(size_t at, const Moment& now);

 private:
  struct Byte {
    Moment written{0, 0, kNobody}, read{0, 0, kNobody};
    bool read_by_lanes = false;  // by several of one warp
    bool read_by_warps = false;  // by several warps
  };
  static constexpr int kNobody = -1;

  static bool unordered(const Moment& earlier, const Moment& now) {
    return earlier.barriers == now.barriers &&
           (earlier.warp() != now.warp() || earlier.warp_barriers == now.warp_barriers);
  }

  std::vector<Byte> bytes_;
  uint64_t block_start_ = 0;
};

}  // namespace ferrum::cuda::emulation
