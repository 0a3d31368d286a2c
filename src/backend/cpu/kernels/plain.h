// Sixteen stored numbers as floats.
#pragma once

namespace ferrum::FERRUM_ISA_NAMESPACE {

struct PlainF32 {
  static constexpr size_t kBytes = 4;
  FERRUM_INLINE F32 load16(const void* p) { return load(static_cast<const float*>(p)); }
};
struct PlainF16 {
  static constexpr size_t kBytes = 2;
  FERRUM_INLINE F32 load16(const void* p) { return load_f16(p); }
};
struct PlainBF16 {
  static constexpr size_t kBytes = 2;
  FERRUM_INLINE F32 load16(const void* p) { return load_bf16(p); }
};
struct PlainI8 {
  static constexpr size_t kBytes = 1;
  FERRUM_INLINE F32 load16(const void* p) { return load_i8(p); }
};

// The first n < 16 elements, then zeros.
template <typename Plain>
FERRUM_INLINE F32 load_some(const void* p, int64_t n) {
  alignas(64) std::byte padded[16 * Plain::kBytes] = {};
  std::memcpy(padded, p, static_cast<size_t>(n) * Plain::kBytes);
  return Plain::load16(padded);
}

}  // namespace ferrum::FERRUM_ISA_NAMESPACE
