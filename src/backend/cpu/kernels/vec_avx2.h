// The 64-byte vectors of the kernels as pairs of AVX2 registers: a holds the first half, b the second. vec_generic.h
// explains the operations.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#define FERRUM_INLINE static inline __attribute__((always_inline))
#define FERRUM_MEMBER inline __attribute__((always_inline))

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kTokenTile = 4;
constexpr bool kManyRegisters = false;
constexpr int kTilePanels = 1;
constexpr int kTileTokens = 4;
constexpr int kSharedRows = 4;

struct F32 {
  __m256 a, b;
};
struct I32 {
  __m256i a, b;
};
struct Bytes {
  __m256i a, b;
};
struct SignedBytes {
  __m256i a, b;
};

FERRUM_INLINE __m256i load_m256i(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
FERRUM_INLINE __m128i load_m128i(const void* p) { return _mm_loadu_si128(static_cast<const __m128i*>(p)); }

FERRUM_INLINE void opaque(F32& x) { asm volatile("" : "+x"(x.a), "+x"(x.b)); }
FERRUM_INLINE void opaque(Bytes& x) { asm volatile("" : "+x"(x.a), "+x"(x.b)); }

FERRUM_INLINE F32 zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
FERRUM_INLINE F32 set1(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
FERRUM_INLINE F32 load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
FERRUM_INLINE F32 load8(const float* p) { return {_mm256_loadu_ps(p), _mm256_setzero_ps()}; }
FERRUM_INLINE F32 load8_twice(const float* p) {
  const __m256 x = _mm256_loadu_ps(p);
  return {_mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
          _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7))};
}
FERRUM_INLINE F32 load_f16(const void* p) {
  const auto* half = static_cast<const std::byte*>(p);
  return {_mm256_cvtph_ps(load_m128i(half)), _mm256_cvtph_ps(load_m128i(half + 16))};
}
FERRUM_INLINE __m256 widen_bf16(const void* p) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load_m128i(p)), 16));
}
FERRUM_INLINE F32 load_bf16(const void* p) {
  return {widen_bf16(p), widen_bf16(static_cast<const std::byte*>(p) + 16)};
}
FERRUM_INLINE __m256 widen_i8(const void* p) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(static_cast<const __m128i*>(p))));
}
FERRUM_INLINE F32 load_i8(const void* p) { return {widen_i8(p), widen_i8(static_cast<const std::byte*>(p) + 8)}; }
FERRUM_INLINE void store(float* p, F32 x) {
  _mm256_storeu_ps(p, x.a);
  _mm256_storeu_ps(p + 8, x.b);
}
FERRUM_INLINE void store_f16(void* p, F32 x) {
  auto* half = static_cast<std::byte*>(p);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(half), _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(half + 16), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
FERRUM_INLINE F32 add(F32 x, F32 y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
FERRUM_INLINE F32 sub(F32 x, F32 y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
FERRUM_INLINE F32 mul(F32 x, F32 y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
FERRUM_INLINE F32 fma(F32 x, F32 y, F32 z) { return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)}; }
FERRUM_INLINE F32 div(F32 x, F32 y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
FERRUM_INLINE F32 greater(F32 x, F32 y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
FERRUM_INLINE F32 lesser(F32 x, F32 y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
FERRUM_INLINE F32 to_float(I32 x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
FERRUM_INLINE __m256 power_of_two_half(__m256 n) {
  const __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
FERRUM_INLINE F32 power_of_two(F32 n) { return {power_of_two_half(n.a), power_of_two_half(n.b)}; }
FERRUM_INLINE float sum(F32 x) {
  const __m256 eight = _mm256_add_ps(x.a, x.b);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

template <int kChunk>
FERRUM_INLINE F32 spread2(F32 p) {
  return {_mm256_permutevar8x32_ps(p.a, _mm256_set1_epi32(2 * kChunk)),
          _mm256_permutevar8x32_ps(p.a, _mm256_set1_epi32(2 * kChunk + 1))};
}
template <int kChunk>
FERRUM_INLINE F32 spread4(F32 p) {
  constexpr int at = 4 * (kChunk % 2);
  const __m256 x = kChunk < 2 ? p.a : p.b;
  return {
      _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(at, at, at, at, at + 1, at + 1, at + 1, at + 1)),
      _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(at + 2, at + 2, at + 2, at + 2, at + 3, at + 3, at + 3, at + 3))};
}
FERRUM_INLINE F32 bytes_to_float(uint64_t low, uint64_t high) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(low)))),
          _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_cvtsi64_si128(static_cast<int64_t>(high))))};
}
template <size_t kStride>
FERRUM_INLINE F32 gather8_f16(const std::byte* p) {
  const auto at = [p](int i) {
    int16_t h;
    std::memcpy(&h, p + i * kStride, sizeof h);
    return h;
  };
  const __m128i packed = _mm_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7));
  return {_mm256_cvtph_ps(packed), _mm256_setzero_ps()};
}

FERRUM_INLINE Bytes load64(const void* p) { return {load_m256i(p), load_m256i(static_cast<const std::byte*>(p) + 32)}; }
FERRUM_INLINE Bytes load32_twice(const void* p) { return {load_m256i(p), load_m256i(p)}; }
FERRUM_INLINE Bytes load32x2(const void* p, const void* q) { return {load_m256i(p), load_m256i(q)}; }
FERRUM_INLINE Bytes fill(uint8_t x) {
  return {_mm256_set1_epi8(static_cast<char>(x)), _mm256_set1_epi8(static_cast<char>(x))};
}
FERRUM_INLINE Bytes both(Bytes x, Bytes y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
FERRUM_INLINE Bytes either(Bytes x, Bytes y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
FERRUM_INLINE Bytes minus(Bytes x, Bytes y) { return {_mm256_sub_epi8(x.a, y.a), _mm256_sub_epi8(x.b, y.b)}; }
template <int kBits>
FERRUM_INLINE Bytes shift_left(Bytes x) {
  return {_mm256_slli_epi16(x.a, kBits), _mm256_slli_epi16(x.b, kBits)};
}
template <int kLow, int kHigh>
FERRUM_INLINE Bytes shift_halves(Bytes x) {
  return {_mm256_srli_epi16(x.a, kLow), _mm256_srli_epi16(x.b, kHigh)};
}
FERRUM_INLINE __m256i nibbles16(const void* p) {
  const __m128i x = load_m128i(p);
  const __m256i both_halves = _mm256_inserti128_si256(_mm256_castsi128_si256(x), _mm_srli_epi16(x, 4), 1);
  return _mm256_and_si256(both_halves, _mm256_set1_epi8(0x0f));
}
FERRUM_INLINE Bytes nibbles16x2(const void* p, const void* q) { return {nibbles16(p), nibbles16(q)}; }
FERRUM_INLINE __m256i where_bit32(uint32_t bits, uint8_t x) {
  const __m256i byte_of =
      _mm256_setr_epi64x(0x0000000000000000, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<int64_t>(0x8040201008040201));
  const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int32_t>(bits)), byte_of);
  const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit_of), bit_of);
  return _mm256_and_si256(set, _mm256_set1_epi8(static_cast<char>(x)));
}
FERRUM_INLINE Bytes where_bit(uint64_t bits, uint8_t x) {
  return {where_bit32(static_cast<uint32_t>(bits), x), where_bit32(static_cast<uint32_t>(bits >> 32), x)};
}
FERRUM_INLINE Bytes lookup(const int8_t* table, Bytes index) {
  const __m256i wide = _mm256_broadcastsi128_si256(load_m128i(table));
  return {_mm256_shuffle_epi8(wide, index.a), _mm256_shuffle_epi8(wide, index.b)};
}

// |w| <= 128 and |x| <= 127, so that the pairs that maddubs adds stay below 2 * 128 * 127 < 2^15.
FERRUM_INLINE __m256i dot32(__m256i w, __m256i x) {
  return _mm256_madd_epi16(_mm256_maddubs_epi16(w, x), _mm256_set1_epi16(1));
}
FERRUM_INLINE I32 plus(I32 x, I32 y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }

FERRUM_INLINE I32 dot_unsigned(Bytes w, Bytes x) { return {dot32(w.a, x.a), dot32(w.b, x.b)}; }
FERRUM_INLINE I32 dot_onto(I32 sum, Bytes w, Bytes x) {
  return {_mm256_add_epi32(sum.a, dot32(w.a, x.a)), _mm256_add_epi32(sum.b, dot32(w.b, x.b))};
}
FERRUM_INLINE SignedBytes with_sign(Bytes w) { return {w.a, w.b}; }
FERRUM_INLINE I32 dot_signed(SignedBytes w, Bytes x) {
  return {dot32(_mm256_abs_epi8(w.a), _mm256_sign_epi8(x.a, w.a)),
          dot32(_mm256_abs_epi8(w.b), _mm256_sign_epi8(x.b, w.b))};
}

template <int kBits>
FERRUM_INLINE Bytes shift_right(Bytes x) {
  return {_mm256_srli_epi16(x.a, kBits), _mm256_srli_epi16(x.b, kBits)};
}
FERRUM_INLINE void store64(void* p, Bytes x) {
  auto* to = static_cast<__m256i*>(p);
  _mm256_storeu_si256(to, x.a);
  _mm256_storeu_si256(to + 1, x.b);
}
FERRUM_INLINE Bytes broadcast4(const void* p) {
  int32_t x;
  std::memcpy(&x, p, sizeof x);
  return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)};
}
FERRUM_INLINE I32 sum_from(int32_t start) { return {_mm256_set1_epi32(start), _mm256_set1_epi32(start)}; }
FERRUM_INLINE F32 bits_as_float(I32 x) { return {_mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b)}; }

// Sums of products of neighbouring bytes in 16 bits, which group_dot_pairs.h adds up before they become I32.
#define FERRUM_SUMS_OF_PAIRS 1
struct Pairs {
  __m256i a, b;
};
FERRUM_INLINE void opaque(I32& x) { asm volatile("" : "+x"(x.a), "+x"(x.b)); }
FERRUM_INLINE void opaque(Pairs& x) { asm volatile("" : "+x"(x.a), "+x"(x.b)); }
FERRUM_INLINE Pairs pair_products(Bytes w, Bytes x) {
  return {_mm256_maddubs_epi16(w.a, x.a), _mm256_maddubs_epi16(w.b, x.b)};
}
FERRUM_INLINE Pairs signed_pair_products(Bytes w, Bytes x) {
  return pair_products({_mm256_abs_epi8(w.a), _mm256_abs_epi8(w.b)},
                       {_mm256_sign_epi8(x.a, w.a), _mm256_sign_epi8(x.b, w.b)});
}
FERRUM_INLINE Pairs plus(Pairs x, Pairs y) { return {_mm256_add_epi16(x.a, y.a), _mm256_add_epi16(x.b, y.b)}; }
FERRUM_INLINE I32 sums_of(Pairs x) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(x.a, ones), _mm256_madd_epi16(x.b, ones)};
}
template <int kBits>
FERRUM_INLINE I32 shift_right(I32 x) {
  return {_mm256_srai_epi32(x.a, kBits), _mm256_srai_epi32(x.b, kBits)};
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
