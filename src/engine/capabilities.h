// What the resolver must know, from the checkpoint and the machine that are really there.
#pragma once

#include <string>

#include "base/status.h"
#include "config/capabilities.h"
#include "config/gpu_probe.h"
#include "io/gguf.h"

namespace ferrum {

// From metadata and tensor table; weight bytes are exact. What the file does not say stays nullopt.
ModelCapabilities model_capabilities(const std::shared_ptr<const Gguf>& file);

// What backend cuda can compute on here, or why it cannot. Asks the driver, takes nothing of the device.
CudaHost cuda_host();
CudaHost cuda_host(const GpuProbe& probe);  // where it has been probed already
Hosts hosts();

// Instruction sets of the cpu backend that this machine and build have, cores, and the memory that is free now.
CpuHost cpu_host();

// The kernels this build contains.
CompiledKernelFeatures compiled_kernel_features();

}  // namespace ferrum
