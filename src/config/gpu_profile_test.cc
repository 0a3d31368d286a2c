// The kernel profile is a function of the device; counterparts of the tests and rules of gpu_profile.rs.
#include "config/gpu_profile.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

GpuProfile of(int major, int minor, const GpuProfileOverrides& overrides = {}) {
  return resolve_gpu_profile({major, minor, 128}, overrides);
}

TEST(GpuProfile, BlackwellKeepsFloat32ActivationsForQ4k) {
  EXPECT_EQ(auto_q4k(true, 121), Q4kVariant::kMwv);
  EXPECT_EQ(auto_q4k(true, 120), Q4kVariant::kMwv);
  EXPECT_EQ(of(12, 1).q4k, Q4kVariant::kMwv);
}

TEST(GpuProfile, DevicesWithIntegerDotProductsUseThem) {
  EXPECT_EQ(of(8, 9).q4k, Q4kVariant::kHwDp4a);
  EXPECT_EQ(of(8, 0).q4k, Q4kVariant::kHwDp4a);
  EXPECT_EQ(of(7, 5).q4k, Q4kVariant::kHwDp4a);
  EXPECT_EQ(of(7, 5).q6k, Q6kVariant::kHwDp4a);
}

TEST(GpuProfile, OlderDevicesDoNot) {
  EXPECT_EQ(of(7, 0).q4k, Q4kVariant::kMwv);
  EXPECT_EQ(of(6, 0).q4k, Q4kVariant::kMwv);
  EXPECT_EQ(of(7, 0).q6k, Q6kVariant::kMwv);
}

TEST(GpuProfile, PtxTargetIsClampedAndTheDeviceIsNot) {
  EXPECT_EQ(of(12, 1).ptx_target, "sm_90");
  EXPECT_EQ(of(12, 1).compute_capability, 121);
  EXPECT_EQ(of(9, 0).ptx_target, "sm_90");
  EXPECT_EQ(of(8, 9).ptx_target, "sm_89");
}

TEST(GpuProfile, Fp8FromAdaOnAndDecodeFollowsPrefill) {
  EXPECT_FALSE(of(8, 6).fp8_prefill);
  EXPECT_TRUE(of(8, 9).fp8_prefill);
  EXPECT_TRUE(of(12, 1).fp8_decode);
  GpuProfileOverrides off;
  off.fp8_prefill = false;
  EXPECT_FALSE(of(9, 0, off).fp8_decode);
  off.fp8_decode = true;
  EXPECT_TRUE(of(9, 0, off).fp8_decode);
}

TEST(GpuProfile, FusedGateUpGoesWithTheHalfWarpKernel) {
  EXPECT_TRUE(of(8, 9).fused_gate_up);
  EXPECT_FALSE(of(12, 0).fused_gate_up);
  GpuProfileOverrides wide;
  wide.q4k = Q4kVariant::kWide;
  EXPECT_FALSE(of(8, 9, wide).fused_gate_up);
}

TEST(GpuProfile, TheRestIsFixedUnlessForced) {
  const GpuProfile p = of(8, 9);
  EXPECT_EQ(p.mwv_warps, 3);
  EXPECT_TRUE(p.batched_prefill);
  EXPECT_FALSE(p.hgemm_decode);
  EXPECT_FALSE(p.w4a16_interleaved);
  GpuProfileOverrides on;
  on.w4a16_interleaved = true;
  EXPECT_TRUE(of(7, 0, on).w4a16_interleaved);
  EXPECT_FALSE(of(6, 1, on).w4a16_interleaved);
}

}  // namespace
}  // namespace ferrum
