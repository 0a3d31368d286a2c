// Which parts an engine has. A setting of a part that is not there is refused: nothing that a user sets is ignored.
#pragma once

#include "base/status.h"
#include "config/settings.h"

namespace ferrum {

struct EngineParts {
  bool cuda = false;           // a choice of kernels for NVIDIA GPUs, as the Rust engine has them
  bool moe = true;             // mixture-of-experts models
  bool contiguous_kv = false;  // a KV cache that is not paged
  bool profiler = true;        // timings of operations and layers

  // An engine with everything that settings speak of: what the rules of the resolver are written for.
  static EngineParts all();
  // What this build contains. Grows with the engine.
  static EngineParts this_build();
};

// kUnsupported naming the key, its source and the missing part. A switch set to what the engine does without the part
// (FERRUM_CUDA_GRAPH=off without CUDA) is obeyed and thus fine.
Status check_parts(const Settings& settings, const EngineParts& parts);

}  // namespace ferrum
