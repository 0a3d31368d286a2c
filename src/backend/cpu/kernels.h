// The table of compute kernels that each instruction-set level provides, on raw pointers and for one thread: cpu_ops.cc
// and cpu_linear.cc cut the work and hand the pieces to the thread pool.
//
// Every level gives the same bits. All float sums are made in 16 logical lanes with one multiply and one add per term
// (no fused multiply-add), in an order that depends on neither the level, the number of tokens nor the thread; sums
// over 8-bit products are exact integers. docs/backends.md has the whole argument.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/isa.h"
#include "tensor/dtype.h"
#include "types/model_spec.h"

namespace ferrum {

inline constexpr int kActElements = 256;

// Integer dot products on panels begin here, at the bits of the float 1.5 * 2^23, whose unit in the last place is 1:
// the sum, below 2^22 in magnitude, is then also the bits of the float 1.5 * 2^23 + sum.
inline constexpr int32_t kSumStart = 0x4b400000;
inline constexpr float kSumStartValue = 12582912.0f;

// 256 activations for integer dot products: x[i] ~ d[i / 32] * q[i] with |q| <= 127. The sums serve formats whose
// values have an offset: sum32[g] = d * (sum of q over group g of 32), sum16 likewise over groups of 16. start32 and
// start16 are kSumStart - 128 * (sum of q): where a dot product begins whose weights have 128 added to be unsigned.
// Rows are padded with zeros to whole blocks.
struct alignas(64) ActBlock {
  int8_t q[256];
  float d[8];
  float sum32[8];
  float sum16[16];
  int32_t start16[16];
  int32_t start32[8];
};
static_assert(sizeof(ActBlock) == 512);

inline constexpr int kPanelRows = 16;  // of a panel: a row for each lane of a vector

// Rows of one weight matrix times some tokens: y[t * y_stride + r] = bias[r] + weights[r] . x[t].
struct DotTask {
  const std::byte* weights = nullptr;  // first row
  size_t row_bytes = 0;
  int64_t rows = 0;
  int64_t columns = 0;      // elements of a row
  const void* x = nullptr;  // first token: ActBlock for quantised weights, float for F32, F16, BF16
  int64_t x_stride = 0;     // from token to token, in ActBlocks or floats
  int64_t tokens = 0;
  const float* bias = nullptr;  // [rows] or null
  float* y = nullptr;
  int64_t y_stride = 0;
};

// A row of K or V on its way into the cache: element i goes to out[i * step].
struct KvStoreTask {
  DType dtype = DType::kF16;
  const float* x = nullptr;
  int64_t n = 0;
  void* out = nullptr;
  int64_t step = 1;
  float* scale = nullptr;  // of an integer type
};

// Attention works in chunks of this many positions, aligned to multiples of it.
inline constexpr int kAttentionChunk = 512;

// Some tokens of one sequence, with the heads that share one KV head. Pointers into the cache are to the first block of
// this KV head; kv_layout.h says where a block has what.
struct AttentionTask {
  const float* q = nullptr;              // [tokens, heads, head_dim]; rows of heads are contiguous
  float* out = nullptr;                  // likewise
  int64_t q_stride = 0, out_stride = 0;  // from token to token
  const int32_t* positions = nullptr;    // [tokens]
  int tokens = 1;
  int heads = 0;
  int head_dim = 0;
  int window = 0;  // position p sees max(0, p - window + 1) .. p; 0 = all
  float scale = 1.0f;
  DType dtype = DType::kF16;  // F16, BF16, F32 or I8
  const std::byte* k = nullptr;
  const std::byte* v = nullptr;
  const float* k_scale = nullptr;  // of an integer type
  const float* v_scale = nullptr;
  int64_t block_stride = 0;  // elements from block to block; scales: block_stride / head_dim
  int block_size = 0;
  const int32_t* table = nullptr;
  // Not null: only one chunk, whose values are not divided yet, and per head its largest score and sum of weights.
  float* stats = nullptr;
  int64_t chunk = 0;
  bool more = false;  // the same thread computes the next chunk next, so that its KV is worth fetching
};

// The same bits in one go, or chunk by chunk, in any order and on any thread, and merged in ascending order.
struct AttentionKernels {
  void (*attend)(const AttentionTask&) = nullptr;
  // The next chunk of a token that sees it: `part` is the task that computed it. Begins and finishes the token's `out`
  // with its first and last chunk; state [heads, 2] lives in between.
  void (*merge)(const AttentionTask& token, const AttentionTask& part, float* state) = nullptr;
};

struct Kernels {
  using Dot = void (*)(const DotTask&);

  // By weight type, on the stored rows; null where rows have to be dequantised to F32 first (F64 and integers).
  Dot dot[32] = {};
  // By quantised weight type, on panels (cpu/panels.h): `weights` is the first one's first byte, `row_bytes` a
  // sixteenth of its size, and whole panels follow each other, of which the last may have rows beyond `rows`.
  Dot panel_dot[32] = {};
  // ceil(n / 256) blocks. A group of 32 with a NaN or infinity gets d = NaN, one below 1e-30 everywhere becomes zero.
  void (*quantize)(const float* x, int64_t n, ActBlock* blocks) = nullptr;
  void (*rms_norm)(const float* x, const float* weight, int64_t n, float eps, float* y) = nullptr;
  void (*add)(float* x, const float* delta, int64_t n) = nullptr;
  void (*silu_mul)(const float* gate, const float* up, int64_t n, float* y) = nullptr;
  void (*rotate)(float* head, const float* cos_sin, int rope_dim, RopeLayout layout) = nullptr;
  void (*store_kv)(const KvStoreTask&) = nullptr;
  AttentionKernels attention;
  void (*exp)(const float* x, int64_t n, float* y) = nullptr;  // for tests: what silu and softmax use

  // Rounds of multiply-adds on registers, as fast as they go; give the number of multiply-adds that were done. Exact up
  // to kPeakRounds.
  using Peak = double (*)(int64_t rounds);
  Peak peak_int8 = nullptr;
  Peak peak_f32 = nullptr;
};

inline constexpr int64_t kPeakRounds = int64_t{1} << 22;  // a float lane of BF16 products counts by twos, to 2^24

// The level must be available.
const Kernels& cpu_kernels(CpuIsa isa);

// The same of BF16 products; null where the machine has no instruction for them.
Kernels::Peak cpu_peak_bf16();

}  // namespace ferrum
