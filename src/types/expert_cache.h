// What a cache of experts did: one of a model whose experts do not all have a place in memory.
#pragma once

#include <cstdint>

namespace ferrum {

struct ExpertCacheCounts {
  int64_t hits = 0, misses = 0;  // experts that steps needed, layer by layer, and that were there or not
  int64_t bytes_read = 0;        // of the file, for misses
  int64_t slots = 0;             // experts that have a place, of all layers; 0 = there is no cache
};

}  // namespace ferrum
