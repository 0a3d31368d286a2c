// A backend whose operations and matrix products are timed. Only put around another one where a profile was asked for,
// so that it costs nothing otherwise.
#pragma once

#include <memory>

#include "ops/backend.h"
#include "trace/op_profile.h"

namespace ferrum {

// Computes exactly what `inner` does. Models must be made with the result: their Linears are timed too.
std::unique_ptr<Backend> profiled_backend(std::unique_ptr<Backend> inner, std::shared_ptr<OpProfile> profile);

}  // namespace ferrum
