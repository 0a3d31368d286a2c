// What this machine is: read from /proc, /sys and the cgroup that we run in. Read once at start and passed on as
// values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ferrum {

struct CacheInfo {
  int level = 0;           // 1, 2, 3
  std::string type;        // "Data", "Instruction", "Unified"
  int64_t bytes = 0;       // of one instance
  int shared_by_cpus = 1;  // logical CPUs that share an instance
};

struct Machine {
  std::string cpu_model;         // "AMD EPYC ..."; "" if unknown
  std::vector<std::string> isa;  // those of the instruction-set extensions that matter here: "avx2", ...
  int logical_cpus = 1;          // that this process may run on (affinity)
  int physical_cores = 1;        // distinct cores among them
  double cgroup_cpus = 0;        // CPU quota in cores; 0 = none
  int numa_nodes = 1;
  std::vector<CacheInfo> caches;               // of the first CPU
  int64_t memory_total = 0;                    // bytes; of the machine
  int64_t memory_available = 0;                // bytes; what new allocations can have without swapping
  std::optional<int64_t> cgroup_memory_limit;  // bytes
  std::string transparent_huge_pages;          // "always", "madvise", "never"; "" if unknown
  int64_t huge_pages_free = 0;                 // explicit ones, of huge_page_bytes
  int64_t huge_page_bytes = 0;

  // Threads that compute well: physical cores, no more than the quota, at least one.
  int compute_threads() const;
};

// root: "" for this machine; a directory with proc/ and sys/ in it for tests. Facts that cannot be read keep their
// defaults: an odd container is no reason not to start.
Machine probe_machine(const std::string& root = "");

// Read bandwidth of main memory in bytes per second with this many threads: the best of a few passes over a buffer that
// should be larger than all caches. Takes some tenths of a second and `bytes` of memory; 0 where that cannot be had.
double measure_read_bandwidth(int threads, int64_t bytes);
// The bytes to read here: more than the caches hold (a virtual machine may show one that it shares with others), but at
// most a quarter of the memory that this process may still take (engine/memory.h; nullopt: unknown).
int64_t bandwidth_buffer(const Machine& machine, std::optional<int64_t> available);

}  // namespace ferrum
