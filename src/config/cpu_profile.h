// Which kernels the cpu backend computes with: the counterpart of gpu_profile.h, a pure function of the instruction set
// and the types of the model's weights.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ferrum {

// How rows of a weight type are multiplied with activations.
struct CpuKernelChoice {
  std::string weight_type;             // "Q4_K", as tensor/dtype.h names it
  std::string isa;                     // level whose kernel computes: "avx512"
  std::string dot;                     // "int8_vnni": see dot_variant()
  std::vector<std::string> fallbacks;  // levels to take instead, best first, should the kernel prove wrong
};

struct CpuProfile {
  std::string isa;  // of everything that has no weights: norms, attention, sampling
  std::vector<CpuKernelChoice> kernels;
};

// Levels, slowest first: "baseline", "neon", "avx2", "avx512".
std::span<const std::string_view> cpu_isa_levels();

// The instructions that carry a dot product on a level: quantised weights meet 8-bit activations ("int8_portable",
// "int8_sdot", "int8_maddubs", "int8_vnni"), F32, F16 and BF16 meet float32 ones ("f32_portable", "f32_neon",
// "f32_avx2", "f32_avx512"); other types are first converted ("dequantise").
std::string_view dot_variant(std::string_view weight_type, std::string_view isa);

// isa: one of cpu_isa_levels(). One choice per weight type, in the order given.
CpuProfile resolve_cpu_profile(std::string_view isa, std::span<const std::string> weight_types);

}  // namespace ferrum
