#include "backend/cpu/isa.h"

#include <algorithm>
#include <array>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace ferrum {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"baseline", "neon", "avx2", "avx512"};

#if defined(__x86_64__)
// Clang 14's __builtin_cpu_supports does not know this one. Its registers are AVX's.
bool has_f16c() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

}  // namespace

std::span<const std::string_view> cpu_isa_names() { return kNames; }

std::optional<CpuIsa> cpu_isa_from_name(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found == kNames.end()) return std::nullopt;
  return static_cast<CpuIsa>(found - kNames.begin());
}

bool cpu_isa_available(CpuIsa isa) {
#if defined(__x86_64__)
  // The builtin asks cpuid and, through xgetbv, whether the system saves the wide registers.
  const bool avx2 = __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0 && has_f16c();
  switch (isa) {
    case CpuIsa::kBaseline: return true;
    case CpuIsa::kNeon: return false;
    case CpuIsa::kAvx2: return avx2;
    case CpuIsa::kAvx512:
#if defined(FERRUM_BUILD_AVX512)
      return avx2 && __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
             __builtin_cpu_supports("avx512dq") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
             __builtin_cpu_supports("avx512vnni") != 0;
#else
      return false;
#endif
  }
  return false;
#elif defined(__aarch64__)
  return isa == CpuIsa::kBaseline || (isa == CpuIsa::kNeon && (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0);
#else
  return isa == CpuIsa::kBaseline;
#endif
}

std::vector<CpuIsa> available_cpu_isas(CpuIsa best) {
  std::vector<CpuIsa> levels;
  for (int i = static_cast<int>(best); i >= 0; --i) {
    if (cpu_isa_available(static_cast<CpuIsa>(i))) levels.push_back(static_cast<CpuIsa>(i));
  }
  return levels;
}

}  // namespace ferrum
