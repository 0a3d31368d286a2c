#include "backend/cuda/emulation/race_check.h"

namespace ferrum::cuda::emulation {

const char* RaceCheck::read(size_t at, const Moment& now) {
  Byte& b = bytes_[at];
  if (b.written.thread == kNobody || b.written.barriers < block_start_) return "that nobody has written";
  if (b.written.thread != now.thread && unordered(b.written, now)) return "that another thread writes meanwhile";
  if (b.read.thread == kNobody || b.read.barriers != now.barriers) {
    b.read = now;
    b.read_by_lanes = b.read_by_warps = false;
    return nullptr;
  }
  if (b.read.warp() != now.warp()) {
    b.read_by_warps = true;
  } else {
    b.read_by_lanes = b.read.warp_barriers == now.warp_barriers && (b.read_by_lanes || b.read.thread != now.thread);
    b.read = now;
  }
  return nullptr;
}

const char* RaceCheck::write(size_t at, const Moment& now) {
  Byte& b = bytes_[at];
  const bool known = b.written.thread != kNobody && b.written.barriers >= block_start_;
  if (known && b.written.thread != now.thread && unordered(b.written, now)) {
    return "that another thread writes as well";
  }
  const bool was_read = b.read.thread != kNobody && b.read.barriers == now.barriers;
  const bool by_others = b.read.thread != now.thread || b.read_by_lanes;
  if (was_read && (b.read_by_warps || (by_others && unordered(b.read, now)))) {
    return "that another thread reads meanwhile";
  }
  b.written = now;
  return nullptr;
}

}  // namespace ferrum::cuda::emulation
