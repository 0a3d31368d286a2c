// The declarations behind config/keys.h. Internal: everybody else reads them through all_keys().
#pragma once

#include <vector>

#include "config/keys.h"

namespace ferrum {

std::vector<KeySpec> make_key_table();

}  // namespace ferrum
