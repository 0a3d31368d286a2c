// The NVIDIA GPUs of this machine, through the driver's own libraries. They are loaded at run time: the same binary
// runs where there is no driver.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "config/capabilities.h"

namespace ferrum {

struct GpuDevice {
  std::string name;    // "NVIDIA H200"
  std::string bus_id;  // "0000:01:00.0"
  int compute_major = 0;
  int compute_minor = 0;
  int64_t sm_count = 0;
  int64_t vram_total = 0;            // bytes
  std::optional<int64_t> vram_free;  // bytes; nullopt where NVML is missing
};

struct GpuProbe {
  std::vector<GpuDevice> devices;  // in CUDA's order
  std::string cuda_version;        // the newest that the driver supports: "12.4"
  std::string driver_version;      // "550.54.15"; "" where NVML is missing
  std::string reason;              // why there is no device: "no GPU: libcuda.so.1 ..."; "" if there is one
};

struct GpuLibraries {
  std::string cuda = "libcuda.so.1";
  std::string nvml = "libnvidia-ml.so.1";
};

// Never fails: no driver, no device and a driver that does not answer are reasons. Loads the libraries and initialises
// CUDA (some 100 ms with a driver), but makes no context, so no memory of the device is taken.
GpuProbe probe_gpus(const GpuLibraries& libraries = {});

// A device as the resolver sees it, for the kernels of this engine.
HardwareCapabilities cuda_capabilities(const GpuDevice& device, const std::string& cuda_version,
                                       const CompiledKernelFeatures& features);

// The device that backend cuda computes on. reason: why it does not, "" = it does; then the probe's first device is it,
// by the order of both.
CudaHost cuda_host(const GpuProbe& probe, const std::string& reason, const CompiledKernelFeatures& features);

}  // namespace ferrum
