// Identifiers that travel through every layer.
#pragma once

#include <cstdint>

namespace ferrum {

using TokenId = int32_t;
using SeqId = uint64_t;      // one sequence in the engine (one choice of a request)
using RequestId = uint64_t;  // what a client can cancel
using BlockId = int32_t;     // a block of the paged KV cache

inline constexpr BlockId kNoBlock = -1;  // in a table: a block that fell out of the sliding window

}  // namespace ferrum
