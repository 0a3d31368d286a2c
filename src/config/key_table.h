// The declarations behind config/keys.h. Internal: everybody else reads them through all_keys().
#pragma once

#include <vector>

#include "config/keys.h"

namespace ferrum {

inline constexpr int64_t kMaxBatchedTokens = 65'536;  // a step's activations are allocated for all of them

std::vector<KeySpec> make_key_table();

}  // namespace ferrum
