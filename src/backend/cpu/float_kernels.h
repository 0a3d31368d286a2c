// Panels of float weights (cpu/float_panels.h) times activations: the kernels of each instruction-set level, and those
// that use the machine's own products of BF16 numbers.
#pragma once

#include <string_view>
#include <vector>

#include "backend/cpu/kernels.h"

namespace ferrum {

// Tokens that stand side by side in a tile of activations; tiles begin at multiples of it.
inline constexpr int kFloatTileTokens = 12;

// Some tokens on their way into a tile, from its beginning on.
struct TileTask {
  const float* x = nullptr;
  int64_t x_stride = 0;
  int64_t tokens = 0;  // at most kFloatTileTokens
  int64_t columns = 0;
  int64_t stride = 0;   // elements of `out` per token; a tile has kFloatTileTokens times as many
  void* out = nullptr;  // of the tile
};

struct FloatPanelKernel {
  void (*arrange)(const TileTask&) = nullptr;  // makes a tile
  int64_t element = 0;                         // bytes of one of its elements
  // As Kernels::panel_dot, but x is the first of some tiles and x_stride the stride of their tokens.
  Kernels::Dot dot = nullptr;
};

// By weight type: F32, F16 and BF16.
struct FloatKernels {
  FloatPanelKernel panel[32] = {};

  constexpr FloatPanelKernel& of(DType dtype) { return panel[static_cast<size_t>(dtype)]; }
  constexpr const FloatPanelKernel& of(DType dtype) const { return panel[static_cast<size_t>(dtype)]; }
};

// The level must be available. All levels give the same bits.
const FloatKernels& cpu_float_kernels(CpuIsa isa);

// All kernels of a level.
struct CpuKernels : Kernels {
  CpuKernels() = default;
  CpuKernels(const Kernels& others, const FloatKernels& of_floats) : Kernels(others), floats(of_floats) {}

  FloatKernels floats;
};
inline CpuKernels all_cpu_kernels(CpuIsa isa) { return {cpu_kernels(isa), cpu_float_kernels(isa)}; }

// BF16 weights times activations rounded to BF16, by the machine's own instruction; other bits than any level's.
struct RoundedBf16 {
  std::string_view instruction;  // "amx_bf16", "avx512_bf16"; empty: the machine has none
  FloatPanelKernel kernel;
};
RoundedBf16 cpu_rounded_bf16();
// All that it has, the best first.
std::vector<RoundedBf16> all_rounded_bf16();

}  // namespace ferrum
