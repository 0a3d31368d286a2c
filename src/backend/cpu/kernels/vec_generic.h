// The 64-byte vectors that the kernels are written in, for any machine: four 16-byte compiler vectors, with
// instructions of SSE2 or NEON (and its dot products) where the target has them and plain loops elsewhere. vec_avx2.h
// and vec_avx512.h provide the same names on wider registers and give the same bits.
//
// F32 is 16 floats, I32 16 integers, Bytes 64 bytes. "Lane l" of a dot product collects bytes 4l .. 4l + 3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensor/float16.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif
#if defined(__ARM_FEATURE_DOTPROD)  // what level "neon" is compiled for; every such target has NEON and its F16
                                    // conversions
#include <arm_neon.h>
#define FERRUM_NEON 1
#endif

#define FERRUM_INLINE static inline __attribute__((always_inline))
#define FERRUM_MEMBER inline __attribute__((always_inline))

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kTokenTile = 4;           // tokens that share one unpacking of a weight block
constexpr bool kManyRegisters = false;  // 32 that hold a whole F32 each
constexpr int kSignedAs = 0;            // what dot_onto() wants added to signed weights
constexpr int kTilePanels = 1;          // panels and tokens that share the loads of unpacked weights
#if defined(FERRUM_NEON)
constexpr int kTileTokens = 4;
constexpr int kSharedRows = 4;  // rows of attention that share the loads of K and V
#else
constexpr int kTileTokens = 2;
constexpr int kSharedRows = 1;  // fma() takes longer than any load, and the compiler long enough
#endif

typedef float F32x4 __attribute__((vector_size(16)));
typedef int32_t I32x4 __attribute__((vector_size(16)));
typedef uint32_t U32x4 __attribute__((vector_size(16)));
typedef uint8_t U8x16 __attribute__((vector_size(16)));
typedef uint16_t U16x8 __attribute__((vector_size(16)));
typedef uint16_t U16x4 __attribute__((vector_size(8)));

struct F32 {
  F32x4 v[4];
};
struct I32 {
  I32x4 v[4];
};
struct Bytes {
  U8x16 v[4];
};
using SignedBytes = Bytes;

template <typename Vector>
FERRUM_INLINE Vector load_vector(const void* p) {
  Vector v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
FERRUM_INLINE F32x4 splat(float x) { return F32x4{x, x, x, x}; }

// The compiler must suppose afterwards that x has any value: for loops that measure instructions. In registers, which
// the constraints of inline assembly name per machine.
#if defined(__x86_64__)
#define FERRUM_IN_REGISTER "+x"
#elif defined(__aarch64__)
#define FERRUM_IN_REGISTER "+w"
#else
#define FERRUM_IN_REGISTER "+m"
#endif
FERRUM_INLINE void opaque(F32& x) {
  for (F32x4& part : x.v) asm volatile("" : FERRUM_IN_REGISTER(part));
}
FERRUM_INLINE void opaque(Bytes& x) {
  for (U8x16& part : x.v) asm volatile("" : FERRUM_IN_REGISTER(part));
}
#undef FERRUM_IN_REGISTER

FERRUM_INLINE F32 set1(float x) { return {{splat(x), splat(x), splat(x), splat(x)}}; }
FERRUM_INLINE F32 zero() { return set1(0.0f); }
FERRUM_INLINE F32 load(const float* p) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = load_vector<F32x4>(p + 4 * i);
  return r;
}
// Lanes 0-7 from memory, the others zero.
FERRUM_INLINE F32 load8(const float* p) {
  return {{load_vector<F32x4>(p), load_vector<F32x4>(p + 4), splat(0.0f), splat(0.0f)}};
}
// Lane l is p[l / 2].
FERRUM_INLINE F32 load8_twice(const float* p) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = F32x4{p[2 * i], p[2 * i], p[2 * i + 1], p[2 * i + 1]};
  return r;
}
FERRUM_INLINE F32 load_f16(const void* p) {
  const auto* bytes = static_cast<const std::byte*>(p);
  F32 r;
  for (int i = 0; i < 4; ++i) {
#if defined(FERRUM_NEON)
    r.v[i] = vcvt_f32_f16(load_vector<float16x4_t>(bytes + 8 * i));
#else
    // Exponent and mantissa in a float's place; the exponents' offsets differ by 112, infinity's and NaN's by 224.
    // Subnormals, whose exponent counts as 1, get an implied bit that is subtracted again: exact, and no subnormal
    // float comes up on the way, which would be slow.
    const I32x4 wide = __builtin_convertvector(load_vector<U16x4>(bytes + 8 * i), I32x4);
    const I32x4 shifted = (wide & 0x7fff) << 13, exponent = shifted & (0x1f << 23);
    const I32x4 normal = shifted + (112 << 23) + ((exponent == (0x1f << 23)) & (112 << 23));
    const F32x4 subnormal = reinterpret_cast<F32x4>(shifted + (113 << 23)) - 0x1p-14f;
    const I32x4 magnitude = exponent == 0 ? reinterpret_cast<I32x4>(subnormal) : normal;
    r.v[i] = reinterpret_cast<F32x4>(magnitude | ((wide & 0x8000) << 16));
#endif
  }
  return r;
}
FERRUM_INLINE F32 load_bf16(const void* p) {
  const auto* bytes = static_cast<const std::byte*>(p);
  F32 r;
  for (int i = 0; i < 4; ++i) {
    const I32x4 wide = __builtin_convertvector(load_vector<U16x4>(bytes + 8 * i), I32x4);
    r.v[i] = reinterpret_cast<F32x4>(wide << 16);
  }
  return r;
}
// Even and odd ones of 32 numbers.
FERRUM_INLINE void load_bf16_pairs(const void* p, F32& low, F32& high) {
  const auto* bytes = static_cast<const std::byte*>(p);
  for (int i = 0; i < 4; ++i) {
    const auto pairs = load_vector<U32x4>(bytes + 16 * i);
    low.v[i] = reinterpret_cast<F32x4>(pairs << 16);
    high.v[i] = reinterpret_cast<F32x4>(pairs & 0xffff0000u);
  }
}
FERRUM_INLINE F32 load_i8(const void* p) {
  F32 r;
#if defined(FERRUM_NEON)
  const auto b = load_vector<int8x16_t>(p);
  const int16x8_t low = vmovl_s8(vget_low_s8(b)), high = vmovl_high_s8(b);
  const int32x4_t wide[4] = {vmovl_s16(vget_low_s16(low)), vmovl_high_s16(low), vmovl_s16(vget_low_s16(high)),
                             vmovl_high_s16(high)};
  for (int i = 0; i < 4; ++i) r.v[i] = vcvtq_f32_s32(wide[i]);
#else
  int8_t b[16];
  std::memcpy(b, p, sizeof b);
  for (int i = 0; i < 16; ++i) r.v[i / 4][i % 4] = b[i];
#endif
  return r;
}
FERRUM_INLINE void store(float* p, F32 a) { std::memcpy(p, a.v, sizeof a.v); }
FERRUM_INLINE void store_f16(void* p, F32 a) {
#if defined(FERRUM_NEON)
  for (int i = 0; i < 4; ++i) {
    const float16x4_t h = vcvt_f16_f32(a.v[i]);
    std::memcpy(static_cast<std::byte*>(p) + 8 * i, &h, sizeof h);
  }
#else
  uint16_t h[16];
  for (int i = 0; i < 16; ++i) h[i] = f32_to_f16(a.v[i / 4][i % 4]);
  std::memcpy(p, h, sizeof h);
#endif
}

#define FERRUM_LANEWISE(name, expression) \
  FERRUM_INLINE F32 name(F32 a, F32 b) {  \
    F32 r;                                \
    for (int i = 0; i < 4; ++i) {         \
      const F32x4 x = a.v[i], y = b.v[i]; \
      r.v[i] = expression;                \
    }                                     \
    return r;                             \
  }
FERRUM_LANEWISE(add, x + y)
FERRUM_LANEWISE(sub, x - y)
FERRUM_LANEWISE(mul, x* y)
FERRUM_LANEWISE(div, x / y)
// The second operand where they are equal or one is NaN.
FERRUM_LANEWISE(greater, x > y ? x : y)
FERRUM_LANEWISE(lesser, x < y ? x : y)
#undef FERRUM_LANEWISE
// a * b + c with one rounding, as the C library computes it where the machine has no instruction: slow, the same bits.
FERRUM_INLINE F32 fma(F32 a, F32 b, F32 c) {
  F32 r;
#if defined(FERRUM_NEON)
  for (int i = 0; i < 4; ++i) r.v[i] = vfmaq_f32(c.v[i], a.v[i], b.v[i]);
#else
  for (int i = 0; i < 16; ++i)
    r.v[i / 4][i % 4] = __builtin_fmaf(a.v[i / 4][i % 4], b.v[i / 4][i % 4], c.v[i / 4][i % 4]);
#endif
  return r;
}

FERRUM_INLINE F32 to_float(I32 a) {
  F32 r;
  for (int i = 0; i < 4; ++i) r.v[i] = __builtin_convertvector(a.v[i], F32x4);
  return r;
}
// 2^n for integral n in [-126, 127]; anything for NaN.
FERRUM_INLINE F32 power_of_two(F32 n) {
  F32 r;
  for (int i = 0; i < 4; ++i) {
    // Adding 1.5 * 2^23 leaves n in the low bits of the sum, without a conversion that NaN makes undefined.
    const I32x4 bits = reinterpret_cast<I32x4>(n.v[i] + 12582912.0f) - 0x4b400000;
    r.v[i] = reinterpret_cast<F32x4>((bits + 127) << 23);
  }
  return r;
}
// Adds lanes l and l + 8, then l and l + 4, l and l + 2, and the last two.
FERRUM_INLINE float sum(F32 a) {
  const F32x4 four = (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]);
  return (four[0] + four[2]) + (four[1] + four[3]);
}

// Group scales for chunk kChunk of 64 elements: lane l is p[2 kChunk + l / 8] ...
template <int kChunk>
FERRUM_INLINE F32 spread2(F32 p) {
  const float a = p.v[kChunk / 2][2 * kChunk % 4], b = p.v[kChunk / 2][2 * kChunk % 4 + 1];
  return {{splat(a), splat(a), splat(b), splat(b)}};
}
// ... or p[4 kChunk + l / 4].
template <int kChunk>
FERRUM_INLINE F32 spread4(F32 p) {
  const F32x4 x = p.v[kChunk];
  return {{splat(x[0]), splat(x[1]), splat(x[2]), splat(x[3])}};
}
// Sixteen signed bytes, the first in the low bits of `low`.
FERRUM_INLINE F32 bytes_to_float(uint64_t low, uint64_t high) {
  const uint64_t halves[2] = {low, high};
  return load_i8(halves);
}
// Lanes 0-7 are the f16 at p, p + kStride, ...; the others zero.
template <size_t kStride>
FERRUM_INLINE F32 gather8_f16(const std::byte* p) {
  uint16_t h[16] = {};
  for (size_t i = 0; i < 8; ++i) std::memcpy(&h[i], p + i * kStride, sizeof h[i]);
  return load_f16(h);
}

FERRUM_INLINE Bytes load32x2(const void* p, const void* q) {
  const auto* a = static_cast<const std::byte*>(p);
  const auto* b = static_cast<const std::byte*>(q);
  return {{load_vector<U8x16>(a), load_vector<U8x16>(a + 16), load_vector<U8x16>(b), load_vector<U8x16>(b + 16)}};
}
FERRUM_INLINE Bytes load64(const void* p) { return load32x2(p, static_cast<const std::byte*>(p) + 32); }
FERRUM_INLINE Bytes load32_twice(const void* p) { return load32x2(p, p); }
FERRUM_INLINE Bytes fill(uint8_t x) {
  Bytes r;
  for (int i = 0; i < 4; ++i) r.v[i] = U8x16{} + x;
  return r;
}

#define FERRUM_BYTEWISE(name, operation)                          \
  FERRUM_INLINE Bytes name(Bytes a, Bytes b) {                    \
    Bytes r;                                                      \
    for (int i = 0; i < 4; ++i) r.v[i] = a.v[i] operation b.v[i]; \
    return r;                                                     \
  }
FERRUM_BYTEWISE(both, &)
FERRUM_BYTEWISE(either, |)
FERRUM_BYTEWISE(minus, -)
#undef FERRUM_BYTEWISE

// Shifts are those of 16-bit words: the caller masks what crosses into the neighbour byte.
template <int kBits>
FERRUM_INLINE Bytes shift_left(Bytes a) {
  Bytes r;
  for (int i = 0; i < 4; ++i) r.v[i] = reinterpret_cast<U8x16>(reinterpret_cast<U16x8>(a.v[i]) << kBits);
  return r;
}
// The first 32 bytes right by kLow, the others by kHigh.
template <int kLow, int kHigh>
FERRUM_INLINE Bytes shift_halves(Bytes a) {
  Bytes r;
  for (int i = 0; i < 2; ++i) r.v[i] = reinterpret_cast<U8x16>(reinterpret_cast<U16x8>(a.v[i]) >> kLow);
  for (int i = 2; i < 4; ++i) r.v[i] = reinterpret_cast<U8x16>(reinterpret_cast<U16x8>(a.v[i]) >> kHigh);
  return r;
}
// Low nibbles of p[0..16), their high nibbles, then the same of q.
FERRUM_INLINE Bytes nibbles16x2(const void* p, const void* q) {
  const auto a = load_vector<U8x16>(p), b = load_vector<U8x16>(q);
  return {{a & 0x0f, a >> 4, b & 0x0f, b >> 4}};
}
// x where bit i of `bits` is set, for byte i; else 0.
FERRUM_INLINE Bytes where_bit(uint64_t bits, uint8_t x) {
  Bytes r;
#if defined(FERRUM_NEON)
  const U8x16 bit_of = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  for (int i = 0; i < 4; ++i) {
    const auto low = static_cast<uint8_t>(bits >> (16 * i)), high = static_cast<uint8_t>(bits >> (16 * i + 8));
    r.v[i] = vtstq_u8(vcombine_u8(vdup_n_u8(low), vdup_n_u8(high)), bit_of) & x;
  }
#else
  for (int i = 0; i < 64; ++i) r.v[i / 16][i % 16] = (bits >> i & 1) != 0 ? x : 0;
#endif
  return r;
}
// table[index] for indices below 16.
FERRUM_INLINE Bytes lookup(const int8_t* table, Bytes index) {
  Bytes r;
#if defined(FERRUM_NEON)
  for (int i = 0; i < 4; ++i) r.v[i] = vqtbl1q_u8(load_vector<U8x16>(table), index.v[i]);
#else
  for (int i = 0; i < 64; ++i) r.v[i / 16][i % 16] = static_cast<uint8_t>(table[index.v[i / 16][i % 16]]);
#endif
  return r;
}

// sum + sums of four products of signed bytes.
FERRUM_INLINE I32x4 dot16(I32x4 sum, U8x16 w, U8x16 x) {
#if defined(__SSE2__)
  const auto wv = reinterpret_cast<__m128i>(w), xv = reinterpret_cast<__m128i>(x);
  const __m128i low =
      _mm_madd_epi16(_mm_srai_epi16(_mm_unpacklo_epi8(wv, wv), 8), _mm_srai_epi16(_mm_unpacklo_epi8(xv, xv), 8));
  const __m128i high =
      _mm_madd_epi16(_mm_srai_epi16(_mm_unpackhi_epi8(wv, wv), 8), _mm_srai_epi16(_mm_unpackhi_epi8(xv, xv), 8));
  const __m128 a = _mm_castsi128_ps(low), b = _mm_castsi128_ps(high);
  return sum + reinterpret_cast<I32x4>(_mm_castps_si128(_mm_shuffle_ps(a, b, 0x88))) +
         reinterpret_cast<I32x4>(_mm_castps_si128(_mm_shuffle_ps(a, b, 0xdd)));
#elif defined(FERRUM_NEON)
  return vdotq_s32(sum, reinterpret_cast<int8x16_t>(w), reinterpret_cast<int8x16_t>(x));
#else
  for (int i = 0; i < 16; ++i) sum[i / 4] += static_cast<int8_t>(w[i]) * static_cast<int8_t>(x[i]);
  return sum;
#endif
}
// Weights up to 127, or signed ones as with_sign() prepares them; x from -127 to 127. The sums are exact.
FERRUM_INLINE I32 dot_onto(I32 sum, Bytes w, Bytes x) {
  for (int i = 0; i < 4; ++i) sum.v[i] = dot16(sum.v[i], w.v[i], x.v[i]);
  return sum;
}
FERRUM_INLINE I32 dot_unsigned(Bytes w, Bytes x) { return dot_onto({}, w, x); }
FERRUM_INLINE SignedBytes with_sign(Bytes w) { return w; }
FERRUM_INLINE I32 dot_signed(SignedBytes w, Bytes x) { return dot_unsigned(w, x); }

// What products of panels (panel_dot.h) need beside.
template <int kBits>
FERRUM_INLINE Bytes shift_right(Bytes a) {
  return shift_halves<kBits, kBits>(a);
}
FERRUM_INLINE void store64(void* p, Bytes a) { std::memcpy(p, a.v, sizeof a.v); }
// Four bytes in every lane.
FERRUM_INLINE Bytes broadcast4(const void* p) {
  int32_t x;
  std::memcpy(&x, p, sizeof x);
  const auto four = reinterpret_cast<U8x16>(I32x4{x, x, x, x});
  return {{four, four, four, four}};
}
FERRUM_INLINE I32 sum_from(int32_t start) {
  const I32x4 four = {start, start, start, start};
  return {{four, four, four, four}};
}
FERRUM_INLINE F32 bits_as_float(I32 a) {
  F32 r;
  std::memcpy(&r, &a, sizeof r);
  return r;
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
