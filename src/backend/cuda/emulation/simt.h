// The vocabulary of kernels/simt.h for the host's compiler: what a GPU does with it, one thread after the other.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>  // and with it ::fmaf, ::sqrtf, ...: not all are in std
#include <cstdint>
#include <cstring>

#include "backend/cuda/emulation/block.h"
#include "tensor/float16.h"

#define FERRUM_KERNEL(threads)
#define FERRUM_DEVICE inline

namespace ferrum::cuda::emulated {

using emulation::blockDim;
using emulation::blockIdx;
using emulation::gridDim;
using emulation::Site;
using emulation::threadIdx;
using std::cos;
using std::exp;
using std::max;
using std::min;
using std::sin;

struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

// A place in shared memory, whose accesses are checked.
template <typename T>
class SharedRef {
 public:
  explicit SharedRef(T* at) : at_(at) {}
  SharedRef(const SharedRef&) = default;
  operator T() const {
    emulation::will_read_shared(at_, sizeof(T));
    return *at_;
  }
  void operator=(T value) const {
    emulation::will_write_shared(at_, sizeof(T));
    *at_ = value;
  }
  void operator=(const SharedRef& other) const { *this = static_cast<T>(other); }
  void operator+=(T value) const { *this = static_cast<T>(*this) + value; }

 private:
  T* at_;
};

template <typename T>
class Shared {
 public:
  explicit Shared(T* begin) : begin_(begin) {}
  template <typename I>
  SharedRef<T> operator[](I index) const {
    return SharedRef<T>(begin_ + index);
  }
  template <typename I>
  Shared operator+(I count) const {
    return Shared(begin_ + count);
  }
  T* address() const { return begin_; }

 private:
  T* begin_;
};

template <typename T>
Shared<T> shared_memory(uint32_t offset, uint32_t count) {
  if (offset % alignof(T) != 0) emulation::fail("wants shared memory at an odd offset");
  return Shared<T>(reinterpret_cast<T*>(emulation::shared_bytes(offset, count * static_cast<uint32_t>(sizeof(T)))));
}

template <typename V, typename T>
V load_as(const T* p) {
  if (reinterpret_cast<uintptr_t>(p) % alignof(V) != 0) emulation::fail("loads a vector from an odd address");
  V value;
  std::memcpy(&value, p, sizeof value);
  return value;
}
template <typename V, typename T>
V load_as(Shared<T> p) {
  emulation::will_read_shared(p.address(), sizeof(V));
  return load_as<V>(p.address());
}

inline void __syncthreads(Site site = {__builtin_FILE(), __builtin_LINE()}) { emulation::barrier(site); }
inline void __syncwarp(Site site = {__builtin_FILE(), __builtin_LINE()}) { emulation::warp_barrier(site); }

// One lane's part of a shuffle.
template <typename T>
struct Shuffle {
  T value;
  int source;  // lane
  T result;
};
template <typename T>
T exchange(uint32_t mask, T value, int source, Site site) {
  Shuffle<T> mine{value, source, value};
  const auto perform = [](const std::array<void*, emulation::kWarp>& lanes) {
    for (void* lane : lanes) {
      if (lane == nullptr) continue;
      auto* shuffle = static_cast<Shuffle<T>*>(lane);
      const void* from = lanes[static_cast<size_t>(shuffle->source % emulation::kWarp)];
      if (from == nullptr) emulation::fail("shuffles from a lane that takes no part");
      shuffle->result = static_cast<const Shuffle<T>*>(from)->value;
    }
  };
  emulation::warp_collective(mask, site, perform, &mine);
  return mine.result;
}
inline int lane_index() {
  return static_cast<int>((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % emulation::kWarp);
}
template <typename T>
T __shfl_sync(uint32_t mask, T value, int lane, Site site = {__builtin_FILE(), __builtin_LINE()}) {
  return exchange(mask, value, lane, site);
}
template <typename T>
T __shfl_xor_sync(uint32_t mask, T value, int lanes, Site site = {__builtin_FILE(), __builtin_LINE()}) {
  return exchange(mask, value, lane_index() ^ lanes, site);
}

struct Ballot {
  bool yes;
  uint32_t result;
};
inline uint32_t __ballot_sync(uint32_t mask, bool yes, Site site = {__builtin_FILE(), __builtin_LINE()}) {
  Ballot mine{yes, 0};
  const auto perform = [](const std::array<void*, emulation::kWarp>& lanes) {
    uint32_t all = 0;
    for (size_t i = 0; i < lanes.size(); ++i) {
      if (lanes[i] != nullptr && static_cast<Ballot*>(lanes[i])->yes) all |= 1u << i;
    }
    for (void* lane : lanes) {
      if (lane != nullptr) static_cast<Ballot*>(lane)->result = all;
    }
  };
  emulation::warp_collective(mask, site, perform, &mine);
  return mine.result;
}

// Fibers run one at a time.
inline void atomic_add(int64_t* p, int64_t n) { *p += n; }

inline int __popc(uint32_t bits) { return std::popcount(bits); }

inline uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
inline float float_of(uint32_t bits) { return std::bit_cast<float>(bits); }
inline float f16_to_float(uint16_t h) { return f16_to_f32(h); }
inline uint16_t float_to_f16(float f) { return f32_to_f16(f); }
inline float bf16_to_float(uint16_t b) { return bf16_to_f32(b); }
inline uint16_t float_to_bf16(float f) { return f32_to_bf16(f); }

inline int8_t signed_byte(uint32_t word, int index) { return static_cast<int8_t>(word >> (8 * index) & 0xff); }

inline int32_t dot4(uint32_t a, uint32_t b, int32_t c) {
  for (int i = 0; i < 4; ++i) c += signed_byte(a, i) * signed_byte(b, i);
  return c;
}

}  // namespace ferrum::cuda::emulated

#include "backend/cuda/emulation/mma.h"
