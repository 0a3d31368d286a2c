#include "config/gpu_profile.h"

#include <algorithm>

namespace ferrum {

std::string_view to_string(Q4kVariant variant) {
  switch (variant) {
    case Q4kVariant::kLegacy: return "legacy";
    case Q4kVariant::kWide: return "wide";
    case Q4kVariant::kVectorized: return "vectorized";
    case Q4kVariant::kMwvDp4a: return "mwv_dp4a";
    case Q4kVariant::kHwDp4a: return "hw_dp4a";
    case Q4kVariant::kMwv: return "mwv";
  }
  return "unknown";
}

std::string_view to_string(Q6kVariant variant) {
  switch (variant) {
    case Q6kVariant::kLegacy: return "legacy";
    case Q6kVariant::kMwv: return "mwv";
    case Q6kVariant::kDp4a: return "dp4a";
    case Q6kVariant::kHwDp4a: return "hw_dp4a";
  }
  return "unknown";
}

Q4kVariant auto_q4k(bool has_dp4a, int compute_capability) {
  if (compute_capability >= 120) return Q4kVariant::kMwv;
  return has_dp4a ? Q4kVariant::kHwDp4a : Q4kVariant::kMwv;
}

namespace {

template <typename Variant>
struct Switch {
  std::string_view key;
  Variant variant;
};

// The one switch that is on.
template <typename Variant>
Status choose(const Settings& settings, std::initializer_list<Switch<Variant>> switches,
              std::optional<Variant>& variant, std::optional<std::string_view>& key) {
  for (const Switch<Variant>& s : switches) {
    if (!settings.get_bool(s.key).value_or(false)) continue;
    if (key) {
      return invalid_argument(std::string(s.key) + ": contradicts " + std::string(*key) +
                              ": one type of weights has one kernel; unset one of " + settings.describe(*key) +
                              " and " + settings.describe(s.key));
    }
    variant = s.variant;
    key = s.key;
  }
  return Status::ok();
}

}  // namespace

Result<GpuProfileOverrides> gpu_overrides(const Settings& settings) {
  GpuProfileOverrides o;
  FERRUM_RETURN_IF_ERROR(choose<Q4kVariant>(settings,
                                            {{"FERRUM_WIDE_Q4K_DISABLE", Q4kVariant::kLegacy},
                                             {"FERRUM_WIDE_Q4K", Q4kVariant::kWide},
                                             {"FERRUM_VECTORIZED_Q4K", Q4kVariant::kVectorized},
                                             {"FERRUM_HW_DP4A_Q4K", Q4kVariant::kHwDp4a},
                                             {"FERRUM_DP4A_Q4K", Q4kVariant::kMwvDp4a},
                                             {"FERRUM_MWV_Q4K", Q4kVariant::kMwv}},
                                            o.q4k, o.q4k_key));
  FERRUM_RETURN_IF_ERROR(choose<Q6kVariant>(settings,
                                            {{"FERRUM_HW_DP4A_Q6K", Q6kVariant::kHwDp4a},
                                             {"FERRUM_DP4A_Q6K", Q6kVariant::kDp4a},
                                             {"FERRUM_MWV_Q6K", Q6kVariant::kMwv}},
                                            o.q6k, o.q6k_key));
  o.mwv_warps = settings.get_int("FERRUM_MWV_WARPS");
  o.batched_prefill = settings.get_bool("FERRUM_BATCHED_PREFILL");
  o.hgemm_decode = settings.get_bool("FERRUM_HGEMM_DECODE");
  o.fused_gate_up = settings.get_bool("FERRUM_FUSED_GATE_UP");
  o.fp8_prefill = settings.get_bool("FERRUM_FP8_PREFILL");
  o.fp8_decode = settings.get_bool("FERRUM_FP8_DECODE");
  o.w4a16_interleaved = settings.get_bool("FERRUM_W4A16_INTERLEAVED");
  return o;
}

GpuProfile resolve_gpu_profile(const GpuFacts& facts, const GpuProfileOverrides& overrides) {
  const int device = facts.compute_major * 10 + facts.compute_minor;
  const bool has_dp4a = device >= 75;

  GpuProfile p;
  p.compute_capability = device;
  p.ptx_target = "sm_" + std::to_string(std::min(device, 90));
  p.q4k = overrides.q4k.value_or(auto_q4k(has_dp4a, device));
  p.q6k = overrides.q6k.value_or(has_dp4a ? Q6kVariant::kHwDp4a : Q6kVariant::kMwv);
  p.mwv_warps = overrides.mwv_warps.value_or(3);
  p.batched_prefill = overrides.batched_prefill.value_or(true);
  p.hgemm_decode = overrides.hgemm_decode.value_or(false);
  p.fused_gate_up = overrides.fused_gate_up.value_or(p.q4k == Q4kVariant::kHwDp4a);
  p.fp8_prefill = overrides.fp8_prefill.value_or(device >= 89);
  p.fp8_decode = overrides.fp8_decode.value_or(p.fp8_prefill);
  p.w4a16_interleaved = overrides.w4a16_interleaved.value_or(false) && device >= 70;
  return p;
}

}  // namespace ferrum
