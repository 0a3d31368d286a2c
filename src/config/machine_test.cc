// The machine as /proc, /sys and the cgroup describe it: over directories of our own making, and on this machine.
#include "config/machine.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>

namespace ferrum {
namespace {

namespace fs = std::filesystem;

class FakeRoot {
 public:
  using Files = std::map<std::string, std::string>;
  explicit FakeRoot(const Files& files) {
    static int count = 0;
    root_ = fs::temp_directory_path() / ("ferrum-machine-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    for (const auto& [path, text] : files) {
      fs::create_directories((root_ / path).parent_path());
      std::ofstream(root_ / path) << text;
    }
  }
  ~FakeRoot() { fs::remove_all(root_); }
  Machine probe() const { return probe_machine(root_.string()); }

 private:
  fs::path root_;
};

constexpr char kCpuinfo[] =
    "processor\t: 0\nmodel name\t: Test CPU @ 2 GHz\nflags\t\t: fpu sse2 avx2 fma f16c avx512f avx512_vnni\n\n"
    "processor\t: 1\nmodel name\t: Another\nflags\t\t: fpu\n";
constexpr char kMeminfo[] =
    "MemTotal:       16384 kB\nMemFree:         100 kB\nMemAvailable:    8192 kB\nHugePages_Free:        3\n"
    "Hugepagesize:       2048 kB\n";

TEST(Machine, ReadsCpuCachesAndMemory) {
  const std::string cache = "sys/devices/system/cpu/cpu0/cache/index";
  const Machine m = FakeRoot({{"proc/cpuinfo", kCpuinfo},
                              {"proc/meminfo", kMeminfo},
                              {"sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
                              {"sys/devices/system/node/node0/x", ""},
                              {"sys/devices/system/node/node1/x", ""},
                              {"sys/devices/system/node/possible", "0-1"},
                              {cache + "0/level", "1\n"},
                              {cache + "0/type", "Data\n"},
                              {cache + "0/size", "32K\n"},
                              {cache + "0/shared_cpu_list", "0,64\n"},
                              {cache + "1/level", "3\n"},
                              {cache + "1/type", "Unified\n"},
                              {cache + "1/size", "16M\n"},
                              {cache + "1/shared_cpu_list", "0-7,64-71\n"}})
                        .probe();
  EXPECT_EQ(m.cpu_model, "Test CPU @ 2 GHz");
  EXPECT_EQ(m.isa, (std::vector<std::string>{"avx2", "f16c", "fma", "avx512f", "avx512_vnni"}));
  EXPECT_EQ(m.memory_total, 16 << 20);
  EXPECT_EQ(m.memory_available, 8 << 20);
  EXPECT_EQ(m.huge_pages_free, 3);
  EXPECT_EQ(m.huge_page_bytes, 2 << 20);
  EXPECT_EQ(m.transparent_huge_pages, "madvise");
  EXPECT_EQ(m.numa_nodes, 2);
  ASSERT_EQ(m.caches.size(), 2u);
  EXPECT_EQ(m.caches[0].bytes, 32 << 10);
  EXPECT_EQ(m.caches[0].shared_by_cpus, 2);
  EXPECT_EQ(m.caches[1].level, 3);
  EXPECT_EQ(m.caches[1].type, "Unified");
  EXPECT_EQ(m.caches[1].bytes, 16 << 20);
  EXPECT_EQ(m.caches[1].shared_by_cpus, 16);
}

TEST(Machine, TakesTheTightestCgroupLimit) {
  const Machine m = FakeRoot({{"proc/self/cgroup", "0::/a/b\n"},
                              {"sys/fs/cgroup/a/b/memory.max", "max\n"},
                              {"sys/fs/cgroup/a/memory.max", "1073741824\n"},
                              {"sys/fs/cgroup/memory.max", "4294967296\n"},
                              {"sys/fs/cgroup/a/b/cpu.max", "max 100000\n"},
                              {"sys/fs/cgroup/a/cpu.max", "150000 100000\n"}})
                        .probe();
  EXPECT_EQ(m.cgroup_memory_limit, 1 << 30);
  EXPECT_DOUBLE_EQ(m.cgroup_cpus, 1.5);
  EXPECT_EQ(m.compute_threads(), 1);

  const Machine v1 = FakeRoot(FakeRoot::Files{{"sys/fs/cgroup/memory/memory.limit_in_bytes", "536870912\n"}}).probe();
  EXPECT_EQ(v1.cgroup_memory_limit, 512 << 20);
  const Machine unlimited =
      FakeRoot(FakeRoot::Files{{"sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}}).probe();
  EXPECT_EQ(unlimited.cgroup_memory_limit, std::nullopt);
}

TEST(Machine, AnOddContainerIsNoReasonNotToStart) {
  const Machine empty = FakeRoot(FakeRoot::Files{}).probe();
  EXPECT_EQ(empty.memory_total, 0);
  EXPECT_TRUE(empty.caches.empty());
  EXPECT_GE(empty.compute_threads(), 1);
  const Machine nonsense = FakeRoot({{"proc/cpuinfo", "flags"},
                                     {"proc/meminfo", "MemTotal: lots\n"},
                                     {"proc/self/cgroup", "0::/../../..\n:::\n"},
                                     {"sys/fs/cgroup/cpu.max", "0 0\n"},
                                     {"sys/kernel/mm/transparent_hugepage/enabled", "]["},
                                     {"sys/devices/system/cpu/cpu0/cache/index0/level", "1"},
                                     {"sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list", "7-0,,-,9-"}})
                               .probe();
  EXPECT_EQ(nonsense.memory_total, 0);
  EXPECT_EQ(nonsense.transparent_huge_pages, "");
  EXPECT_GE(nonsense.compute_threads(), 1);
}

TEST(Machine, ThisOneHasMemoryAndCores) {
  const Machine m = probe_machine();
  EXPECT_GT(m.memory_total, 0);
  EXPECT_GT(m.memory_available, 0);
  EXPECT_LE(m.memory_available, m.memory_total);
  EXPECT_GE(m.logical_cpus, m.physical_cores);
  EXPECT_GE(m.compute_threads(), 1);
  EXPECT_LE(m.compute_threads(), m.logical_cpus);
}

TEST(Machine, BandwidthIsReadFromMoreThanTheCachesButAQuarterOfWhatIsLeft) {
  Machine m;
  EXPECT_EQ(bandwidth_buffer(m, std::nullopt), int64_t{256} << 20);
  m.caches = {{1, "Data", 32 << 10}, {3, "Unified", 384 << 20, 16}};
  EXPECT_EQ(bandwidth_buffer(m, std::nullopt), int64_t{768} << 20);
  EXPECT_EQ(bandwidth_buffer(m, int64_t{8} << 30), int64_t{768} << 20);
  EXPECT_EQ(bandwidth_buffer(m, 96 << 20), 24 << 20);
}

TEST(Machine, BandwidthIsThatOfMemoryNotOfNothing) {
  const double bytes_per_second = measure_read_bandwidth(1, 32 << 20);
  EXPECT_GT(bytes_per_second, 1e8);   // a loaded machine under a sanitizer
  EXPECT_LT(bytes_per_second, 1e12);  // nothing is left out
  EXPECT_EQ(measure_read_bandwidth(1, 0), 0);
}

}  // namespace
}  // namespace ferrum
