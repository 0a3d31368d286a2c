// Identifiers that travel through every layer.
#pragma once

#include <cstdint>

namespace ferrum {

using TokenId = int32_t;
using SeqId = uint64_t;      // one sequence in the engine (one choice of a request)
using RequestId = uint64_t;  // what a client can cancel
using BlockId = int32_t;     // a block of the paged KV cache

}  // namespace ferrum
