// Instruction-set levels of the cpu backend: one kernel source is compiled once per level, and a level is chosen once,
// when the backend is made.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace ferrum {

// Slowest first.
enum class CpuIsa {
  kBaseline,  // what the compiler's target guarantees: SSE2 on x86-64, plain C++ elsewhere
  kNeon,      // 64-bit Arm: NEON with dot products (Armv8.2)
  kAvx2,      // AVX2, FMA, F16C
  kAvx512,    // AVX-512 F, BW, DQ, VL and VNNI
};

// "baseline", "neon", "avx2", "avx512", in enum order.
std::span<const std::string_view> cpu_isa_names();
inline std::string_view to_string(CpuIsa isa) { return cpu_isa_names()[static_cast<size_t>(isa)]; }
std::optional<CpuIsa> cpu_isa_from_name(std::string_view name);

// Whether this processor and operating system can run the level and this build contains it.
bool cpu_isa_available(CpuIsa isa);
// Those that are available, the highest first; with `best`, that one and what is below it.
std::vector<CpuIsa> available_cpu_isas(CpuIsa best = CpuIsa::kAvx512);
inline CpuIsa best_cpu_isa() { return available_cpu_isas().front(); }

}  // namespace ferrum
