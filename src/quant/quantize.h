// Scalar conversion between float rows and every element type: the definition that kernels are tested against.
//
// Plain and deterministic: the same bytes on every machine. Kernels never call these per token; they are for loading,
// tests, the quantiser and the reference backend.
#pragma once

#include <cstdint>
#include <span>

#include "base/status.h"
#include "quant/blocks.h"
#include "tensor/dtype.h"

namespace ferrum {

// dst[0..n) = the values of `src`, which holds bytes_of(dtype, n) bytes in the type's layout, aligned to its scalars.
// n must be a multiple of the block size (asserted). F64 and wide integers round to the nearest float.
void dequantize_row(DType dtype, const void* src, float* dst, int64_t n);

// The inverse, into bytes_of(dtype, n) bytes. The *_0 and *_1 types, Q8_0, MXFP4, F16 and BF16 round as ggml's
// reference does; the k-quants and IQ4 search scales for the least weighted squared error (see quantize_kquants.cc).
//
// kInvalidArgument, with the index of the value: NaN or infinity (F32, F16, BF16 and F64 keep them), or a magnitude
// the type cannot hold (above 65504 for F16 and for types with half-precision scales). `dst` is then unspecified.
Status quantize_row(DType dtype, const float* src, void* dst, int64_t n);

// Activations for integer dot products. n is a multiple of 32 or 256 (asserted). q = round-half-even(x * (127 /
// max|x|)), d = max|x| / 127, computed in float in this order, so that vector versions can match bit for bit. Blocks
// whose max|x| is below 1e-30 become zero. A block with a NaN or infinity gets d = NaN and q = 0: trouble shows in the
// result.
void quantize_activations(const float* x, ActBlock32* blocks, int64_t n);
void quantize_activations(const float* x, BlockQ8_K* blocks, int64_t n);

}  // namespace ferrum
