// Pages of a read-only mapping of a file: bringing them and letting them go. Both are hints; what is refused costs time
// or memory, nothing else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace ferrum {

// These bytes are asked for before they are read: the system need not guess which others will be wanted, and read them,
// too.
void stop_guessing(const void* data, size_t bytes);
// Asks the system to read what it does not have of these bytes, and does not wait for it.
void read_ahead(const void* data, size_t bytes);
// The whole pages within these bytes leave the process; who looks there again gets them back from the file.
void drop_pages(const void* data, size_t bytes);
// Asks the system to forget what it keeps of these bytes of a file, as far as no process has them mapped in.
void forget_cached_pages(const std::string& path, uint64_t offset, uint64_t bytes);

}  // namespace ferrum
