// Which kernel variants a GPU gets: a pure function of compute capability, SM count and overrides, computed once at
// start. No kernel and no backend reads a setting of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "config/settings.h"

namespace ferrum {

enum class Q4kVariant {
  kLegacy,      // one warp, no integer dot products; for devices below sm_75
  kWide,        // 128 threads per output row
  kVectorized,  // 32 threads with vector loads
  kMwvDp4a,     // several warps, DP4A on quantised activations
  kHwDp4a,      // half a warp per super-block, DP4A, scales loaded directly
  kMwv,         // several warps, float32 activations
};
enum class Q6kVariant { kLegacy, kMwv, kDp4a, kHwDp4a };

std::string_view to_string(Q4kVariant variant);
std::string_view to_string(Q6kVariant variant);

struct GpuFacts {
  int compute_major = 7;
  int compute_minor = 0;
  int64_t sm_count = 8;
};

// What experiments may force; nullopt = the device decides.
struct GpuProfileOverrides {
  std::optional<Q4kVariant> q4k;
  std::optional<Q6kVariant> q6k;
  std::optional<std::string_view> q4k_key, q6k_key;  // the settings that say so
  std::optional<int64_t> mwv_warps;
  std::optional<bool> batched_prefill;
  std::optional<bool> hgemm_decode;
  std::optional<bool> fused_gate_up;
  std::optional<bool> fp8_prefill;
  std::optional<bool> fp8_decode;
  std::optional<bool> w4a16_interleaved;
};

struct GpuProfile {
  Q4kVariant q4k = Q4kVariant::kMwv;
  Q6kVariant q6k = Q6kVariant::kMwv;
  int64_t mwv_warps = 3;
  bool batched_prefill = true;
  bool hgemm_decode = false;   // slower than the quantised GEMV for one row wherever it was measured
  bool fused_gate_up = false;  // exists for kHwDp4a only
  bool fp8_prefill = false;
  bool fp8_decode = false;
  bool w4a16_interleaved = false;
  std::string ptx_target;       // "sm_89"; at most sm_90, the newest that PTX 8.0 names
  int compute_capability = 70;  // major * 10 + minor of the device itself, never clamped
};

// Integer dot products (DP4A) from sm_75 on; Blackwell (sm_120 and later) keeps float32 activations for Q4_K because
// int8 activations lose massive-activation channels there.
Q4kVariant auto_q4k(bool has_dp4a, int compute_capability);

// The overrides that are set. kInvalidArgument where two variants of one type are asked for, naming both with their
// sources.
Result<GpuProfileOverrides> gpu_overrides(const Settings& settings);

GpuProfile resolve_gpu_profile(const GpuFacts& facts, const GpuProfileOverrides& overrides);

}  // namespace ferrum
