#include "backend/cpu/float_kernels.h"

#include "base/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace ferrum {

extern const FloatKernels kFloatKernels_baseline;
#if defined(__x86_64__)
extern const FloatKernels kFloatKernels_avx2;
#if defined(FERRUM_BUILD_AVX512)
extern const FloatKernels kFloatKernels_avx512;
void bf16_panel_dot_avx512(const DotTask& task);
void pack_bf16_tile_avx512(const TileTask& task);
void bf16_panel_dot_amx(const DotTask& task);
void round_to_bf16_amx(const TileTask& task);

namespace {

// Whether the processor has tiles with BF16 products, and the system lets this process use them (Linux gives tile
// registers, 8 KB per thread, only to those that ask).
bool has_amx_bf16() {
  static const bool has = [] {
    unsigned a = 0, b = 0, c = 0, d = 0;
    constexpr unsigned kBf16 = 1u << 22, kTiles = 1u << 24;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kBf16) == 0 || (d & kTiles) == 0) return false;
    constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return has;
}

}  // namespace
#endif
#elif defined(__aarch64__)
extern const FloatKernels kFloatKernels_neon;
#endif

const FloatKernels& cpu_float_kernels(CpuIsa isa) {
  FERRUM_CHECK(cpu_isa_available(isa), "kernels of an instruction set that this machine lacks");
#if defined(__x86_64__)
#if defined(FERRUM_BUILD_AVX512)
  if (isa == CpuIsa::kAvx512) return kFloatKernels_avx512;
#endif
  if (isa == CpuIsa::kAvx2) return kFloatKernels_avx2;
#elif defined(__aarch64__)
  if (isa == CpuIsa::kNeon) return kFloatKernels_neon;
#endif
  return kFloatKernels_baseline;
}

std::vector<RoundedBf16> all_rounded_bf16() {
  std::vector<RoundedBf16> all;
#if defined(FERRUM_BUILD_AVX512)
  if (!cpu_isa_available(CpuIsa::kAvx512) || __builtin_cpu_supports("avx512bf16") == 0) return all;
  if (has_amx_bf16()) all.push_back({"amx_bf16", {round_to_bf16_amx, 2, bf16_panel_dot_amx}});
  all.push_back({"avx512_bf16", {pack_bf16_tile_avx512, 2, bf16_panel_dot_avx512}});
#endif
  return all;
}

RoundedBf16 cpu_rounded_bf16() {
  const std::vector<RoundedBf16> all = all_rounded_bf16();
  return all.empty() ? RoundedBf16() : all.front();
}

}  // namespace ferrum
