// ModelSpec from the metadata and tensor list of a GGUF file.
#pragma once

#include "base/status.h"
#include "io/gguf.h"
#include "types/model_spec.h"

namespace ferrum {

// Everything in the result is checked: positive sizes within limits, heads that divide, a finite positive epsilon, RoPE
// parameters that give finite frequencies, one vocabulary size. kNotFound names a missing key or tensor, kCorrupt a
// value that makes no sense, kUnsupported an architecture or a feature of the network that Ferrum does not compute (a
// file whose network would be computed wrongly is refused, not guessed at). Shapes of the other tensors: bind_weights.
Result<ModelSpec> read_model_spec(const Gguf& file);

}  // namespace ferrum
