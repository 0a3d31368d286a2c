// Tensor core operations of a warp, by the fragment layouts of the PTX ISA, section "Warp Level Matrix
// Multiply-Accumulate Instructions". With g = lane / 4 and t = lane % 4, element by element:
//   m16n8k32, 8 bits    A: byte i of the 16: row g + 8 (i / 4 % 2), column 4 t + i % 4 + 16 (i / 8)
//                       B: byte i of the 8: row 4 t + i % 4 + 16 (i / 4), column g
//   m16n8k16, 16 bits   A: half i of the 8: row g + 8 (i / 2 % 2), column 2 t + i % 2 + 8 (i / 4)
//                       B: half i of the 4: row 2 t + i % 2 + 8 (i / 2), column g
//   C, D                element i of the 4: row g + 8 (i / 2), column 2 t + i % 2
// Sums of integers are exact, as on the device. Floats are summed up in double and rounded once, which a device does
// not promise: it may round each addition, and may cut off instead of rounding.
#pragma once

#include "backend/cuda/emulation/simt.h"

namespace ferrum::cuda::emulated {

template <typename D>
struct Mma {
  D* d;
  const uint32_t* a;
  const uint32_t* b;
};

template <typename D>
D& element_of_d(const std::array<void*, emulation::kWarp>& lanes, int row, int column) {
  const int lane = row % 8 * 4 + column / 2;
  return static_cast<Mma<D>*>(lanes[static_cast<size_t>(lane)])->d[row / 8 * 2 + column % 2];
}

inline int32_t byte_of(const uint32_t* words, int index) { return signed_byte(words[index / 4], index % 4); }
inline uint16_t half_of(const uint32_t* words, int index) {
  return static_cast<uint16_t>(words[index / 2] >> (16 * (index % 2)));
}

inline void multiply_s8(const std::array<void*, emulation::kWarp>& lanes) {
  int32_t a[16][32], b[32][8];
  for (int lane = 0; lane < emulation::kWarp; ++lane) {
    const auto* part = static_cast<const Mma<int32_t>*>(lanes[static_cast<size_t>(lane)]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 16; ++i) a[g + 8 * (i / 4 % 2)][4 * t + i % 4 + 16 * (i / 8)] = byte_of(part->a, i);
    for (int i = 0; i < 8; ++i) b[4 * t + i % 4 + 16 * (i / 4)][g] = byte_of(part->b, i);
  }
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      int32_t& d = element_of_d<int32_t>(lanes, row, column);
      for (int k = 0; k < 32; ++k) d += a[row][k] * b[k][column];
    }
  }
}

template <float (*kConvert)(uint16_t)>
void multiply_16(const std::array<void*, emulation::kWarp>& lanes) {
  double a[16][16], b[16][8];
  for (int lane = 0; lane < emulation::kWarp; ++lane) {
    const auto* part = static_cast<const Mma<float>*>(lanes[static_cast<size_t>(lane)]);
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 8; ++i) {
      a[g + 8 * (i / 2 % 2)][2 * t + i % 2 + 8 * (i / 4)] = static_cast<double>(kConvert(half_of(part->a, i)));
    }
    for (int i = 0; i < 4; ++i) b[2 * t + i % 2 + 8 * (i / 2)][g] = static_cast<double>(kConvert(half_of(part->b, i)));
  }
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      float& d = element_of_d<float>(lanes, row, column);
      double sum = static_cast<double>(d);
      for (int k = 0; k < 16; ++k) sum += a[row][k] * b[k][column];
      d = static_cast<float>(sum);
    }
  }
}

inline void mma_s8(int32_t (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                   Site site = {__builtin_FILE(), __builtin_LINE()}) {
  Mma<int32_t> mine{d, a, b};
  emulation::warp_collective(0xffffffffu, site, multiply_s8, &mine);
}
// m16n8k16 of bytes: the fragments of its A and B are the first halves of those of m16n8k32.
inline void mma_s8_k16(int32_t (&d)[4], uint32_t a0, uint32_t a1, uint32_t b,
                       Site site = {__builtin_FILE(), __builtin_LINE()}) {
  mma_s8(d, {a0, a1, 0, 0}, {b, 0}, site);
}
inline void mma_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                    Site site = {__builtin_FILE(), __builtin_LINE()}) {
  Mma<float> mine{d, a, b};
  emulation::warp_collective(0xffffffffu, site, multiply_16<f16_to_float>, &mine);
}
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                     Site site = {__builtin_FILE(), __builtin_LINE()}) {
  Mma<float> mine{d, a, b};
  emulation::warp_collective(0xffffffffu, site, multiply_16<bf16_to_float>, &mine);
}

}  // namespace ferrum::cuda::emulated
