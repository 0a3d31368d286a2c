// That the emulator computes what a GPU does, and finds the mistakes it is there to find.
#include "backend/cuda/emulation/block.h"

#include <gtest/gtest.h>

#include "backend/cuda/emulation/simt.h"

namespace ferrum::cuda::emulated {
namespace {

struct Args {
  int32_t* out = nullptr;
};

// Runs `kernel` on one block of so many threads (of `blocks` blocks).
std::string failure(void (*kernel)(Args), uint32_t threads, uint32_t shared_bytes = 256, int32_t* out = nullptr,
                    uint32_t blocks = 1) {
  const Args args{out};
  const Kernel<Args> k{"k", kernel};
  return emulation::run_grid(k.entry(), {{blocks}, {threads}, shared_bytes}, &args).message();
}

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

TEST(Emulator, RunsEveryThreadOfEveryBlockOnce) {
  std::vector<int32_t> out(3 * 48, 0);
  const auto kernel = [](Args a) { a.out[blockIdx.x * blockDim.x + threadIdx.x] += static_cast<int32_t>(gridDim.x); };
  EXPECT_EQ(failure(kernel, 48, 0, out.data(), 3), "");
  EXPECT_EQ(out, std::vector<int32_t>(3 * 48, 3));
}

TEST(Emulator, ABarrierShowsEachThreadWhatTheOthersWrote) {
  std::vector<int32_t> out(64);
  const auto kernel = [](Args a) {
    const Shared<int32_t> s = shared_memory<int32_t>(0, 64);
    s[threadIdx.x] = static_cast<int32_t>(threadIdx.x);
    __syncthreads();
    a.out[threadIdx.x] = s[63 - threadIdx.x];
  };
  EXPECT_EQ(failure(kernel, 64, 256, out.data()), "");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], 63 - i);
}

TEST(Emulator, ShufflesGiveTheValueOfTheOtherLane) {
  std::vector<int32_t> out(64);
  const auto kernel = [](Args a) {
    const int mine = static_cast<int>(threadIdx.x);
    const int other = __shfl_xor_sync(0xffffffffu, mine, 5);
    a.out[threadIdx.x] = __shfl_sync(0xffffffffu, other, 3) + 1000 * other;
  };
  EXPECT_EQ(failure(kernel, 64, 0, out.data()), "");
  for (int i = 0; i < 64; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], (i / 32 * 32 + (3 ^ 5)) + 1000 * (i ^ 5));
}

TEST(Emulator, ABallotCollectsTheLanesThatSayYes) {
  std::vector<int32_t> out(32);
  const auto kernel = [](Args a) {
    a.out[threadIdx.x] = static_cast<int32_t>(__ballot_sync(0xffffffffu, threadIdx.x % 4 == 1));
  };
  EXPECT_EQ(failure(kernel, 32, 0, out.data()), "");
  for (int32_t ballot : out) EXPECT_EQ(ballot, 0x22222222);
}

TEST(Emulator, FindsABarrierThatSomeThreadsDoNotReach) {
  const auto ended = [](Args) {
    if (threadIdx.x == 7) return;
    __syncthreads();
  };
  EXPECT_HAS(failure(ended, 64), "thread 7 has ended");
  const auto elsewhere = [](Args) {
    if (threadIdx.x < 32) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  };
  EXPECT_HAS(failure(elsewhere, 64), "waits at the barrier of block_test.cc:");
}

TEST(Emulator, FindsAShuffleWithLanesMissing) {
  const auto divergent = [](Args) {
    if (threadIdx.x % 2 == 0) __shfl_xor_sync(0xffffffffu, 1, 2);
  };
  EXPECT_HAS(failure(divergent, 32), "waits in the warp operation of block_test.cc:");
  const auto partial_warp = [](Args) { __syncwarp(); };
  EXPECT_HAS(failure(partial_warp, 48), "lanes in the mask");
  const auto outside = [](Args) {
    if (threadIdx.x < 4) __shfl_xor_sync(0xfu, 1, 4);
  };
  EXPECT_HAS(failure(outside, 32), "from a lane that takes no part");
  const auto crossed = [](Args) {
    if (threadIdx.x < 16) {
      __shfl_xor_sync(0xffffffffu, 1, 1);
    } else {
      __syncthreads();
    }
  };
  EXPECT_HAS(failure(crossed, 32), "waits in the warp operation");
}

TEST(Emulator, FindsReadsOfSharedMemoryThatNobodyWrote) {
  const auto kernel = [](Args) { static_cast<void>(static_cast<int32_t>(shared_memory<int32_t>(0, 64)[threadIdx.x])); };
  EXPECT_HAS(failure(kernel, 32), "that nobody has written");
  // Nor may a block see what an earlier one left.
  const auto first_block_writes = [](Args) {
    const Shared<int32_t> s = shared_memory<int32_t>(0, 64);
    if (blockIdx.x == 0) s[threadIdx.x] = 1;
    static_cast<void>(static_cast<int32_t>(s[threadIdx.x]));
  };
  EXPECT_HAS(failure(first_block_writes, 32, 256, nullptr, 2), "block (1, 0, 0)");
}

TEST(Emulator, FindsAccessesBeyondSharedMemory) {
  const auto beyond = [](Args) { shared_memory<int32_t>(0, 64)[64 + threadIdx.x] = 1; };
  EXPECT_HAS(failure(beyond, 32), "beyond what the launch asked for");
  const auto too_much = [](Args) { shared_memory<int32_t>(0, 65); };
  EXPECT_HAS(failure(too_much, 32), "of 256 of shared memory");
}

TEST(Emulator, FindsRaces) {
  const auto two_writers = [](Args) { shared_memory<int32_t>(0, 64)[threadIdx.x / 2] = 1; };
  EXPECT_HAS(failure(two_writers, 32), "that another thread writes as well");
  const auto no_barrier = [](Args) {
    const Shared<int32_t> s = shared_memory<int32_t>(0, 64);
    s[threadIdx.x] = 1;
    static_cast<void>(static_cast<int32_t>(s[(threadIdx.x + 63) % 64]));
  };
  EXPECT_HAS(failure(no_barrier, 64), "of shared memory that");
  const auto overwritten = [](Args) {
    const Shared<int32_t> s = shared_memory<int32_t>(0, 64);
    s[threadIdx.x] = 1;
    __syncthreads();
    static_cast<void>(static_cast<int32_t>(s[threadIdx.x / 2]));
    s[threadIdx.x] = 2;  // while its neighbour still reads
  };
  EXPECT_HAS(failure(overwritten, 64), "that another thread");
  // Lanes of one warp are ordered by __syncwarp(), warps are not.
  const auto warp_barrier = [](Args a) {
    const Shared<int32_t> s = shared_memory<int32_t>(0, 64);
    s[threadIdx.x] = 1;
    __syncwarp();
    static_cast<void>(static_cast<int32_t>(s[a.out == nullptr ? threadIdx.x ^ 1 : threadIdx.x ^ 32]));
  };
  EXPECT_EQ(failure(warp_barrier, 64), "");
  int32_t other_warp = 0;
  EXPECT_HAS(failure(warp_barrier, 64, 256, &other_warp), "of shared memory that");
}

TEST(Emulator, RefusesShapesThatNoDeviceTakes) {
  const auto kernel = [](Args) {};
  EXPECT_HAS(failure(kernel, 1025), "blocks of 1025 threads");
  EXPECT_HAS(failure(kernel, 32, 228 * 1024), "of shared memory");
  EXPECT_HAS(failure(kernel, 32, 0, nullptr, 0), "empty grid");
}

// One warp's product of integers, with fragments filled by the definition of the PTX ISA, is the matrix product.
struct MmaArgs {
  const int8_t* a;  // [16][32]
  const int8_t* b;  // [32][8]
  int32_t* c;       // [16][8]
};
void multiply(MmaArgs m) {
  const uint32_t g = threadIdx.x / 4, t = threadIdx.x % 4;
  const auto bytes = [](const int8_t* p, uint32_t step) {
    uint32_t word = 0;
    for (uint32_t i = 0; i < 4; ++i) word |= static_cast<uint32_t>(static_cast<uint8_t>(p[i * step])) << (8 * i);
    return word;
  };
  const uint32_t a[4] = {bytes(m.a + 32 * g + 4 * t, 1), bytes(m.a + 32 * (g + 8) + 4 * t, 1),
                         bytes(m.a + 32 * g + 16 + 4 * t, 1), bytes(m.a + 32 * (g + 8) + 16 + 4 * t, 1)};
  const uint32_t b[2] = {bytes(m.b + 8 * (4 * t) + g, 8), bytes(m.b + 8 * (16 + 4 * t) + g, 8)};
  int32_t d[4] = {1, 1, 1, 1};
  mma_s8(d, a, b);
  for (uint32_t i = 0; i < 4; ++i) m.c[8 * (g + 8 * (i / 2)) + 2 * t + i % 2] = d[i];
}

TEST(Emulator, MultipliesMatricesOfBytes) {
  std::vector<int8_t> a(16 * 32), b(32 * 8);
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<int8_t>(i * 37 + 11);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<int8_t>(i * 91 + 5);
  std::vector<int32_t> c(16 * 8);
  const MmaArgs args{a.data(), b.data(), c.data()};
  ASSERT_TRUE(emulation::run_grid(Kernel<MmaArgs>{"multiply", multiply}.entry(), {{1}, {32}}, &args).is_ok());
  for (size_t row = 0; row < 16; ++row) {
    for (size_t column = 0; column < 8; ++column) {
      int32_t sum = 1;
      for (size_t k = 0; k < 32; ++k) sum += a[32 * row + k] * b[8 * k + column];
      EXPECT_EQ(c[8 * row + column], sum) << row << ", " << column;
    }
  }
}

}  // namespace
}  // namespace ferrum::cuda::emulated
