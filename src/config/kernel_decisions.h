// Kernel profiles as decisions. Internal to the resolver.
#pragma once

#include "config/recorder.h"
#include "config/resolver.h"

namespace ferrum {

// config.cpu_profile and one decision per weight type for backend cpu on a known host; config.gpu_profile, cuda_graph
// and their decisions for backend cuda. Refuses overrides that the device or the chosen kernels cannot have.
Status decide_kernels(const ResolverInput& input, Recorder& record, RunConfig& config);

}  // namespace ferrum
