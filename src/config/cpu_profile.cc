#include "config/cpu_profile.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace ferrum {
namespace {

constexpr std::array<std::string_view, 4> kLevels = {"baseline", "neon", "avx2", "avx512"};
constexpr std::array<size_t, 4> kNextSlower = {0, 0, 0, 2};  // on the same kind of machine
constexpr std::array<std::string_view, 4> kInt8Dots = {"int8_portable", "int8_sdot", "int8_maddubs", "int8_vnni"};
constexpr std::array<std::string_view, 4> kFloatDots = {"f32_portable", "f32_neon", "f32_avx2", "f32_avx512"};

size_t level_index(std::string_view isa) {
  const auto found = std::find(kLevels.begin(), kLevels.end(), isa);
  FERRUM_CHECK(found != kLevels.end(), "no instruction-set level: " + std::string(isa));
  return static_cast<size_t>(found - kLevels.begin());
}

}  // namespace

std::span<const std::string_view> cpu_isa_levels() { return kLevels; }

std::string_view dot_variant(std::string_view weight_type, std::string_view isa) {
  const size_t level = level_index(isa);
  for (std::string_view plain : {"F32", "F16", "BF16"}) {
    if (weight_type == plain) return kFloatDots[level];
  }
  for (std::string_view prefix : {"Q", "IQ", "MXFP"}) {
    if (weight_type.starts_with(prefix)) return kInt8Dots[level];
  }
  return "dequantise";
}

CpuProfile resolve_cpu_profile(std::string_view isa, std::span<const std::string> weight_types) {
  CpuProfile profile;
  profile.isa = isa;
  std::vector<std::string> slower;
  for (size_t level = level_index(isa); level > 0; level = kNextSlower[level]) {
    slower.emplace_back(kLevels[kNextSlower[level]]);
  }
  for (const std::string& type : weight_types) {
    profile.kernels.push_back({type, std::string(isa), std::string(dot_variant(type, isa)), slower});
  }
  return profile;
}

}  // namespace ferrum
