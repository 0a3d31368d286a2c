// The vocabulary of kernels: CUDA's own names, and a few of ours, for nvcc and for the emulator. Kernels include this
// and nothing else of CUDA or of the C++ library.
//
// - FERRUM_KERNEL(threads) void f(const Args a): a kernel for blocks of so many threads.
// - FERRUM_DEVICE float g(...): a function that kernels call.
// - threadIdx, blockIdx, blockDim, gridDim, __syncthreads(), __syncwarp(), __shfl_sync(mask, value, lane),
//   __shfl_xor_sync(), __ballot_sync(), __popc(): as CUDA has them.
// - shared_memory<T>(offset, count) gives a Shared<T>: part of the launch's dynamic shared memory, from byte `offset`.
// - load_as<V>(p): *p as a vector V; p is aligned to V and may point to shared memory.
// - fmaf, sqrtf, fabsf, fmaxf, rintf: rounded once, on either side. Nothing else is contracted (-fmad=false).
// - cos, sin, exp: of doubles, within a unit in the last place on either side.
// - atomic_add(p, n): *p += n, of integers in global memory.
// - dot4(a, b, c): c + the products of four signed bytes each.
// - mma_s8, mma_s8_k16, mma_f16, mma_bf16: one tensor core operation of a warp (PTX: mma.sync).
#pragma once

#if defined(__CUDACC__)
#include "backend/cuda/kernels/simt_device.h"
#define FERRUM_CUDA_TARGET device
#else
#include "backend/cuda/emulation/simt.h"
#define FERRUM_CUDA_TARGET emulated
#endif
