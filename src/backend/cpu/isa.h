// Instruction-set levels of the cpu backend: one kernel source is compiled once per level, and a level is chosen once,
// when the backend is made.
#pragma once

#include <optional>
#include <span>
#include <string_view>

namespace ferrum {

// Slowest first; each level includes those before it.
enum class CpuIsa {
  kBaseline,  // what the compiler's target guarantees: SSE2 on x86-64, plain C++ elsewhere
  kAvx2,      // AVX2, FMA, F16C
  kAvx512,    // AVX-512 F, BW, DQ, VL and VNNI
};

// "baseline", "avx2", "avx512", in enum order.
std::span<const std::string_view> cpu_isa_names();
inline std::string_view to_string(CpuIsa isa) { return cpu_isa_names()[static_cast<size_t>(isa)]; }
std::optional<CpuIsa> cpu_isa_from_name(std::string_view name);

// Whether this processor and operating system can run the level and this build contains it.
bool cpu_isa_available(CpuIsa isa);
// The highest available level.
CpuIsa best_cpu_isa();

}  // namespace ferrum
