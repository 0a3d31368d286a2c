// Runs the blocks of an emulated grid, one after another, with a fiber for each thread, and finds what a GPU would
// answer with a hang or with numbers that are right most of the time: barriers and warp operations that not all their
// threads reach, and shared memory that is read before it is written, beyond its end, or in a race.
//
// One grid at a time; the process has one emulated multiprocessor.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "backend/cuda/emulation/fiber.h"
#include "backend/cuda/launch.h"
#include "base/status.h"

namespace ferrum::cuda::emulation {

inline constexpr int kWarp = 32;
inline constexpr uint32_t kSharedBytes = 227 * 1024;  // the most a block may have (H100)

// Where in the source something is done.
struct Site {
  const char* file = "";
  int line = 0;
  bool operator==(const Site&) const = default;
};

// Runs kernel.call(args) in each thread of each block. kInvalidArgument for a shape that no device takes, kInternal for
// a broken rule; both name the kernel.
Status run_grid(const KernelEntry& kernel, const LaunchShape& shape, const void* args);

// What follows is called from inside a kernel, through simt.h.

// CUDA's names, for the thread that runs.
extern Extent threadIdx, blockIdx, blockDim, gridDim;

void barrier(Site site);       // __syncthreads()
void warp_barrier(Site site);  // __syncwarp(): of all 32 lanes

// Waits until all lanes of `mask` have come to the same site, then the last of them calls
// perform(operands of the 32 lanes, null for lanes outside the mask) for all.
using WarpOperation = void (*)(const std::array<void*, kWarp>& operands);
void warp_collective(uint32_t mask, Site site, WarpOperation perform, void* operand);

// Bytes [offset, offset + bytes) of the block's shared memory.
std::byte* shared_bytes(uint32_t offset, uint32_t bytes);
void will_read_shared(const void* at, uint32_t bytes);
void will_write_shared(const void* at, uint32_t bytes);

// Ends the kernel with this failure; does not return.
[[noreturn]] void fail(const std::string& what);

}  // namespace ferrum::cuda::emulation
