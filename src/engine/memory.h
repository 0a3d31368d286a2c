// How much memory this process may still take.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ferrum {

// Bytes: the system's MemAvailable, or less where a cgroup (v1 or v2) of this process leaves less; the page cache
// counts as free. nullopt where the system does not say. `root` is a directory in place of "/", for tests.
std::optional<int64_t> available_memory(const std::string& root = "");

// Resident bytes of a process.
struct ProcessMemory {
  int64_t anonymous = 0;  // RssAnon
  int64_t file = 0;       // RssFile and RssShmem: pages of mapped files, the program's own included
  int64_t peak = 0;       // VmHWM: the most that both together have been
};
// Of this process, from /proc/self/status; zeros where the system does not say. `root` as above.
ProcessMemory process_memory(const std::string& root = "");

// "1.5 GiB", for messages.
std::string format_bytes(int64_t bytes);

}  // namespace ferrum
