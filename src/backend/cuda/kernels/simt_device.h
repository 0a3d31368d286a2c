// The vocabulary of kernels/simt.h for nvcc.
#pragma once

#include <cstdint>

#define FERRUM_KERNEL(threads) __global__ __launch_bounds__(threads, 1)
#define FERRUM_DEVICE __device__ __forceinline__

namespace ferrum::cuda::device {

template <typename T>
using Shared = T*;

template <typename T>
FERRUM_DEVICE Shared<T> shared_memory(uint32_t offset, uint32_t /*count*/) {
  extern __shared__ __align__(128) unsigned char dynamic_shared_memory[];
  return reinterpret_cast<T*>(dynamic_shared_memory + offset);
}

template <typename V, typename T>
FERRUM_DEVICE V load_as(const T* p) {
  return *reinterpret_cast<const V*>(p);
}

FERRUM_DEVICE void atomic_add(int64_t* p, int64_t n) {
  atomicAdd(reinterpret_cast<unsigned long long*>(p), static_cast<unsigned long long>(n));  // NOLINT: CUDA's type
}

FERRUM_DEVICE uint32_t bits_of(float x) { return __float_as_uint(x); }
FERRUM_DEVICE float float_of(uint32_t bits) { return __uint_as_float(bits); }

FERRUM_DEVICE float f16_to_float(uint16_t h) {
  float f;
  asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
  return f;
}
FERRUM_DEVICE uint16_t float_to_f16(float f) {
  uint16_t h;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(f));
  return h;
}
FERRUM_DEVICE float bf16_to_float(uint16_t b) { return __uint_as_float(uint32_t{b} << 16); }
FERRUM_DEVICE uint16_t float_to_bf16(float f) {
  uint16_t b;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(b) : "f"(f));
  return b;
}

FERRUM_DEVICE int32_t dot4(uint32_t a, uint32_t b, int32_t c) {
  return __dp4a(static_cast<int32_t>(a), static_cast<int32_t>(b), c);
}

// D = A B + C with fragments as the PTX ISA lays them out ("Matrix Fragments for mma.m16n8k32", "... m16n8k16").
FERRUM_DEVICE void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
// The same with 16 columns of A: the first, or the second, half of its fragments.
FERRUM_DEVICE void mma_s8_k16(int32_t (&d)[4], uint32_t a0, uint32_t a1, uint32_t b) {
  asm("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a0), "r"(a1), "r"(b));
}
FERRUM_DEVICE void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
FERRUM_DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

}  // namespace ferrum::cuda::device
