// The 64-byte vectors of the kernels on AVX-512 (F, BW, DQ, VL, VNNI). vec_generic.h explains the operations.
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#define FERRUM_INLINE static inline __attribute__((always_inline))
#define FERRUM_MEMBER inline __attribute__((always_inline))

namespace ferrum::FERRUM_ISA_NAMESPACE {

constexpr int kTokenTile = 8;
constexpr bool kManyRegisters = true;  // 32, each of a whole F32
constexpr int kTilePanels = 2;         // panels and tokens that share the loads of unpacked weights
constexpr int kTileTokens = 8;
constexpr int kSharedRows = 12;
constexpr int kSignedAs = 128;  // what dot_onto() wants added to signed weights

struct F32 {
  __m512 v;
};
struct I32 {
  __m512i v;
};
struct Bytes {
  __m512i v;
};
struct SignedBytes {
  __m512i magnitude;
  __mmask64 negative;
};

FERRUM_INLINE void opaque(F32& x) { asm volatile("" : "+v"(x.v)); }
FERRUM_INLINE void opaque(Bytes& x) { asm volatile("" : "+v"(x.v)); }

FERRUM_INLINE F32 zero() { return {_mm512_setzero_ps()}; }
FERRUM_INLINE F32 set1(float x) { return {_mm512_set1_ps(x)}; }
FERRUM_INLINE F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
FERRUM_INLINE F32 load8(const float* p) { return {_mm512_zextps256_ps512(_mm256_loadu_ps(p))}; }
FERRUM_INLINE F32 load8_twice(const float* p) {
  const __m512i index = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
  return {_mm512_permutexvar_ps(index, load8(p).v)};
}
FERRUM_INLINE F32 load_f16(const void* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
FERRUM_INLINE F32 load_bf16(const void* p) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(static_cast<const __m256i*>(p)));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(wide, 16))};
}
FERRUM_INLINE F32 load_i8(const void* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(p))))};
}
FERRUM_INLINE void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
FERRUM_INLINE void store_f16(void* p, F32 a) {
  _mm256_storeu_si256(static_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
FERRUM_INLINE F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
FERRUM_INLINE F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
FERRUM_INLINE F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
FERRUM_INLINE F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
FERRUM_INLINE F32 div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
FERRUM_INLINE F32 greater(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
FERRUM_INLINE F32 lesser(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
FERRUM_INLINE F32 to_float(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
FERRUM_INLINE F32 power_of_two(F32 n) {
  const __m512i exponent = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(exponent, 23))};
}
FERRUM_INLINE float sum(F32 a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

template <int kChunk>
FERRUM_INLINE F32 spread2(F32 p) {
  const __m512i low = _mm512_set1_epi32(2 * kChunk);
  return {_mm512_permutexvar_ps(_mm512_mask_add_epi32(low, 0xff00, low, _mm512_set1_epi32(1)), p.v)};
}
template <int kChunk>
FERRUM_INLINE F32 spread4(F32 p) {
  const __m512i index = _mm512_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
  return {_mm512_permutexvar_ps(_mm512_add_epi32(index, _mm512_set1_epi32(4 * kChunk)), p.v)};
}
FERRUM_INLINE F32 bytes_to_float(uint64_t low, uint64_t high) {
  const __m128i packed = _mm_set_epi64x(static_cast<int64_t>(high), static_cast<int64_t>(low));
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(packed))};
}
template <size_t kStride>
FERRUM_INLINE F32 gather8_f16(const std::byte* p) {
  const auto at = [p](int i) {
    int16_t h;
    std::memcpy(&h, p + i * kStride, sizeof h);
    return h;
  };
  const __m128i packed = _mm_setr_epi16(at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7));
  return {_mm512_zextps256_ps512(_mm256_cvtph_ps(packed))};
}

FERRUM_INLINE Bytes load64(const void* p) { return {_mm512_loadu_si512(p)}; }
FERRUM_INLINE Bytes load32_twice(const void* p) {
  return {_mm512_broadcast_i64x4(_mm256_loadu_si256(static_cast<const __m256i*>(p)))};
}
FERRUM_INLINE Bytes load32x2(const void* p, const void* q) {
  return {_mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256(static_cast<const __m256i*>(p))),
                             _mm256_loadu_si256(static_cast<const __m256i*>(q)), 1)};
}
FERRUM_INLINE Bytes fill(uint8_t x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
FERRUM_INLINE Bytes both(Bytes a, Bytes b) { return {_mm512_and_si512(a.v, b.v)}; }
FERRUM_INLINE Bytes either(Bytes a, Bytes b) { return {_mm512_or_si512(a.v, b.v)}; }
FERRUM_INLINE Bytes minus(Bytes a, Bytes b) { return {_mm512_sub_epi8(a.v, b.v)}; }
template <int kBits>
FERRUM_INLINE Bytes shift_left(Bytes a) {
  return {_mm512_slli_epi16(a.v, kBits)};
}
template <int kLow, int kHigh>
FERRUM_INLINE Bytes shift_halves(Bytes a) {
  if constexpr (kLow == kHigh) return {_mm512_srli_epi16(a.v, kLow)};
  const __m512i counts = _mm512_inserti64x4(_mm512_set1_epi16(kLow), _mm256_set1_epi16(kHigh), 1);
  return {_mm512_srlv_epi16(a.v, counts)};
}
FERRUM_INLINE Bytes nibbles16x2(const void* p, const void* q) {
  const __m128i a = _mm_loadu_si128(static_cast<const __m128i*>(p));
  const __m128i b = _mm_loadu_si128(static_cast<const __m128i*>(q));
  const __m512i ab =
      _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_broadcastsi128_si256(a)), _mm256_broadcastsi128_si256(b), 1);
  const __m512i counts =
      _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0);
  return {_mm512_and_si512(_mm512_srlv_epi16(ab, counts), _mm512_set1_epi8(0x0f))};
}
FERRUM_INLINE Bytes where_bit(uint64_t bits, uint8_t x) { return {_mm512_maskz_set1_epi8(bits, static_cast<char>(x))}; }
FERRUM_INLINE Bytes lookup(const int8_t* table, Bytes index) {
  const __m512i wide = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table)));
  return {_mm512_shuffle_epi8(wide, index.v)};
}

template <int kBits>
FERRUM_INLINE Bytes shift_right(Bytes a) {
  return {_mm512_srli_epi16(a.v, kBits)};
}
FERRUM_INLINE void store64(void* p, Bytes a) { _mm512_storeu_si512(p, a.v); }
FERRUM_INLINE Bytes broadcast4(const void* p) {
  int32_t x;
  std::memcpy(&x, p, sizeof x);
  return {_mm512_set1_epi32(x)};
}

FERRUM_INLINE I32 sum_from(int32_t start) { return {_mm512_set1_epi32(start)}; }
FERRUM_INLINE F32 bits_as_float(I32 a) { return {_mm512_castsi512_ps(a.v)}; }
FERRUM_INLINE I32 dot_unsigned(Bytes w, Bytes x) { return {_mm512_dpbusd_epi32(_mm512_setzero_si512(), w.v, x.v)}; }
FERRUM_INLINE I32 dot_onto(I32 sum, Bytes w, Bytes x) { return {_mm512_dpbusd_epi32(sum.v, w.v, x.v)}; }
FERRUM_INLINE SignedBytes with_sign(Bytes w) { return {_mm512_abs_epi8(w.v), _mm512_movepi8_mask(w.v)}; }
FERRUM_INLINE I32 dot_signed(SignedBytes w, Bytes x) {
  const __m512i signed_x = _mm512_mask_sub_epi8(x.v, w.negative, _mm512_setzero_si512(), x.v);
  return {_mm512_dpbusd_epi32(_mm512_setzero_si512(), w.magnitude, signed_x)};
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
