// The probe over drivers of our own making: one that works, one without devices, one that fails, one too old, none.
#include "config/gpu_probe.h"

#include <gtest/gtest.h>

namespace ferrum {
namespace {

GpuLibraries both(const char* path) { return {path, path}; }

TEST(GpuProbe, ReadsEveryFactOfADevice) {
  const GpuProbe probe = probe_gpus(both(FAKE_GPU_DRIVER));
  ASSERT_EQ(probe.devices.size(), 2u) << probe.reason;
  EXPECT_EQ(probe.reason, "");
  EXPECT_EQ(probe.cuda_version, "12.4");
  EXPECT_EQ(probe.driver_version, "550.54.15");
  const GpuDevice& d = probe.devices[0];
  EXPECT_EQ(d.name, "Fake RTX\\n");  // made safe to print
  EXPECT_EQ(d.bus_id, "0000:01:00.0");
  EXPECT_EQ(d.compute_major, 8);
  EXPECT_EQ(d.compute_minor, 9);
  EXPECT_EQ(d.sm_count, 128);
  EXPECT_EQ(d.vram_total, int64_t{24} << 30);
  EXPECT_EQ(d.vram_free, int64_t{20} << 30);
  EXPECT_EQ(probe.devices[1].vram_free, std::nullopt);  // NVML does not know it

  const HardwareCapabilities h = cuda_capabilities(d, probe.cuda_version, {});
  EXPECT_EQ(h.backend, "cuda");
  EXPECT_EQ(h.cuda_runtime, "12.4");
  EXPECT_EQ(h.compute_capability, "8.9");
  EXPECT_EQ(h.vram_bytes, int64_t{24} << 30);
  EXPECT_EQ(h.sm_count, 128);
  EXPECT_FALSE(h.graph_support);
  EXPECT_EQ(h.supported_dtypes, std::vector<std::string>{"fp32"});
}

TEST(GpuProbe, TheCudaBackendsHostIsTheFirstDeviceOrTheReasonForNone) {
  const GpuProbe probe = probe_gpus(both(FAKE_GPU_DRIVER));
  const CudaHost usable = cuda_host(probe, "", {});
  EXPECT_EQ(usable.reason, "");
  EXPECT_EQ(usable.name, probe.devices[0].name);
  EXPECT_EQ(usable.driver, "550.54.15");
  EXPECT_EQ(usable.free_memory, int64_t{20} << 30);
  EXPECT_EQ(usable.capabilities.vram_bytes, int64_t{24} << 30);
  EXPECT_EQ(cuda_host(probe, "too old", {}).reason, "too old");
  const CudaHost unknown = cuda_host(probe_gpus({FAKE_GPU_DRIVER, "libno-such-nvml.so"}), "", {});
  EXPECT_EQ(unknown.free_memory, int64_t{24} << 30) << "all it has, where nobody says how much of it is free";
  // The driver's library and the runtime may differ: then there is none.
  const CudaHost none = cuda_host(probe_gpus(both(FAKE_GPU_DRIVER_EMPTY)), "", {});
  EXPECT_NE(none.reason.find("sees no device"), std::string::npos) << none.reason;
}

TEST(GpuProbe, WithoutNvmlTheRestIsThere) {
  const GpuProbe probe = probe_gpus({FAKE_GPU_DRIVER, "libno-such-nvml.so"});
  ASSERT_EQ(probe.devices.size(), 2u);
  EXPECT_EQ(probe.devices[0].vram_free, std::nullopt);
  EXPECT_EQ(probe.driver_version, "");
}

TEST(GpuProbe, EveryWayToHaveNoGpuHasItsReason) {
  const auto reason = [](const GpuLibraries& libraries) {
    const GpuProbe probe = probe_gpus(libraries);
    EXPECT_TRUE(probe.devices.empty());
    EXPECT_TRUE(probe.reason.starts_with("no GPU: ")) << probe.reason;
    return probe.reason;
  };
  EXPECT_NE(reason(both("libno-such-driver.so")).find("libno-such-driver.so"), std::string::npos);
  EXPECT_NE(reason(both(FAKE_GPU_DRIVER_EMPTY)).find("sees no device"), std::string::npos);
  EXPECT_NE(reason(both(FAKE_GPU_DRIVER_BROKEN)).find("cuInit failed with error 999"), std::string::npos);
  EXPECT_NE(reason(both(FAKE_GPU_DRIVER_OLD)).find("lacks cuDeviceTotalMem_v2"), std::string::npos);
}

// Whatever this machine is, the probe answers.
TEST(GpuProbe, ThisMachine) {
  const GpuProbe probe = probe_gpus();
  EXPECT_EQ(probe.devices.empty(), !probe.reason.empty());
  for (const GpuDevice& d : probe.devices) {
    EXPECT_GT(d.vram_total, 0) << d.name;
    EXPECT_GT(d.sm_count, 0) << d.name;
    EXPECT_GE(d.compute_major, 3) << d.name;
  }
}

}  // namespace
}  // namespace ferrum
