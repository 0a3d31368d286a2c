#include "config/machine.h"

#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <memory>
#include <numeric>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>
#include <thread>

#include "config/parse.h"

namespace ferrum {
namespace {

namespace fs = std::filesystem;

// As /proc/cpuinfo spells them (x86, then Arm).
constexpr const char* kIsaFlags[] = {"avx2",     "f16c",        "fma",         "avx512f",  "avx512bw", "avx512dq",
                                     "avx512vl", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16",
                                     "asimd",    "asimddp",     "i8mm",        "sve"};

std::string read_file(const fs::path& path) {
  std::ifstream in(path);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::optional<int64_t> leading_int(std::string_view text) {
  text = trim(text);
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::optional<int64_t> read_int(const fs::path& path) { return leading_int(read_file(path)); }

// The rest of the first line that starts with this name and a colon.
std::string field(const std::string& text, std::string_view name) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const size_t colon = line.find(':');
    if (colon != std::string::npos && trim(std::string_view(line).substr(0, colon)) == name) {
      return std::string(trim(std::string_view(line).substr(colon + 1)));
    }
  }
  return "";
}

int64_t kilobytes(const std::string& meminfo, std::string_view name) {
  return leading_int(field(meminfo, name)).value_or(0) * 1024;
}

void probe_isa(const fs::path& root, Machine& m) {
  const std::string cpuinfo = read_file(root / "proc/cpuinfo");
  m.cpu_model = field(cpuinfo, "model name");
  std::istringstream words(field(cpuinfo, "flags") + " " + field(cpuinfo, "Features"));
  std::set<std::string> flags;
  for (std::string word; words >> word;) flags.insert(word);
  for (const char* flag : kIsaFlags) {
    if (flags.count(flag) != 0) m.isa.emplace_back(flag);
  }
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

void probe_topology(const fs::path& root, Machine& m) {
  const std::vector<int> cpus = allowed_cpus();
  m.logical_cpus = static_cast<int>(cpus.size());
  std::set<std::pair<int64_t, int64_t>> cores;
  for (int cpu : cpus) {
    const fs::path topology = root / "sys/devices/system/cpu" / ("cpu" + std::to_string(cpu)) / "topology";
    const auto core = read_int(topology / "core_id");
    const auto package = read_int(topology / "physical_package_id");
    cores.emplace(package.value_or(0), core.value_or(cpu));
  }
  m.physical_cores = static_cast<int>(cores.size());

  int nodes = 0;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(root / "sys/devices/system/node", ignored)) {
    const std::string name = entry.path().filename().string();
    nodes += name.rfind("node", 0) == 0 && name.size() > 4 && leading_int(name.substr(4)).has_value() ? 1 : 0;
  }
  m.numa_nodes = std::max(nodes, 1);
}

// "32K", "1M", "32768K"
int64_t cache_bytes(const std::string& size) {
  const Result<int64_t> bytes = parse_bytes(size, int64_t{1} << 40);
  return bytes.is_ok() ? *bytes : 0;
}

int count_cpu_list(std::string_view list) {  // "0-3,8-11"
  int count = 0;
  while (!trim(list).empty()) {
    const size_t comma = list.find(',');
    const std::string_view range = trim(list.substr(0, comma));
    const size_t dash = range.find('-');
    const auto first = leading_int(range);
    const auto last = dash == std::string_view::npos ? first : leading_int(range.substr(dash + 1));
    if (first && last && *last >= *first) count += static_cast<int>(*last - *first + 1);
    if (comma == std::string_view::npos) break;
    list.remove_prefix(comma + 1);
  }
  return std::max(count, 1);
}

void probe_caches(const fs::path& root, Machine& m) {
  for (int i = 0; i < 8; ++i) {
    const fs::path index = root / "sys/devices/system/cpu/cpu0/cache" / ("index" + std::to_string(i));
    const auto level = read_int(index / "level");
    if (!level) return;
    m.caches.push_back({static_cast<int>(*level), std::string(trim(read_file(index / "type"))),
                        cache_bytes(read_file(index / "size")), count_cpu_list(read_file(index / "shared_cpu_list"))});
  }
}

void probe_memory(const fs::path& root, Machine& m) {
  const std::string meminfo = read_file(root / "proc/meminfo");
  m.memory_total = kilobytes(meminfo, "MemTotal");
  m.memory_available = kilobytes(meminfo, "MemAvailable");
  m.huge_pages_free = leading_int(field(meminfo, "HugePages_Free")).value_or(0);
  m.huge_page_bytes = kilobytes(meminfo, "Hugepagesize");
  const std::string thp = read_file(root / "sys/kernel/mm/transparent_hugepage/enabled");  // "always [madvise] never"
  const size_t open = thp.find('['), close = thp.find(']');
  if (open != std::string::npos && close != std::string::npos && close > open) {
    m.transparent_huge_pages = thp.substr(open + 1, close - open - 1);
  }
}

// The tightest limits on the way from our cgroup (version 2) to the root; a container sees its own as the root.
void probe_cgroup(const fs::path& root, Machine& m) {
  std::string own;  // "0::/user.slice/..."
  std::istringstream lines(read_file(root / "proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("0::")) own = line.substr(3);
  }
  const fs::path top = root / "sys/fs/cgroup";
  for (fs::path group = fs::path(own).relative_path();; group = group.parent_path()) {
    const auto limit = read_int(top / group / "memory.max");  // "max" is no number
    if (limit) m.cgroup_memory_limit = std::min(m.cgroup_memory_limit.value_or(*limit), *limit);
    std::istringstream quota(read_file(top / group / "cpu.max"));  // "200000 100000" or "max 100000"
    double allowed = 0, period = 0;
    if (quota >> allowed >> period && period > 0) {
      const double cpus = allowed / period;
      if (m.cgroup_cpus == 0 || cpus < m.cgroup_cpus) m.cgroup_cpus = cpus;
    }
    if (group.empty()) break;
  }
  // Version 1, where that is what is mounted; "no limit" is a number near 2^63 there.
  const auto v1 = read_int(top / "memory/memory.limit_in_bytes");
  if (!m.cgroup_memory_limit && v1 && *v1 < (int64_t{1} << 60)) m.cgroup_memory_limit = v1;
}

}  // namespace

int Machine::compute_threads() const {
  int threads = physical_cores;
  if (cgroup_cpus > 0) threads = std::min(threads, std::max(1, static_cast<int>(std::floor(cgroup_cpus + 0.01))));
  return std::max(threads, 1);
}

Machine probe_machine(const std::string& root_directory) {
  const fs::path root = root_directory.empty() ? fs::path("/") : fs::path(root_directory);
  Machine m;
  probe_isa(root, m);
  probe_topology(root, m);
  probe_caches(root, m);
  probe_memory(root, m);
  probe_cgroup(root, m);
  return m;
}

namespace {

constexpr size_t kLineWords = 8;     // of a cache line
constexpr size_t kAheadWords = 512;  // asked for early: processors do not fetch across pages by themselves

// Whole lines, as kernels read them. Whether asking early is faster depends on the processor.
template <bool kAsk>
uint64_t read_lines(const uint64_t* words, size_t count) {
  uint64_t sums[kLineWords] = {};
  for (size_t i = 0; i + kLineWords <= count; i += kLineWords) {
    if constexpr (kAsk) __builtin_prefetch(words + i + kAheadWords);
    for (size_t word = 0; word < kLineWords; ++word) sums[word] += words[i + word];
  }
  return std::accumulate(std::begin(sums), std::end(sums), uint64_t{0});
}

// Words in huge pages where the system has them, as the KV cache and the weights' panels are.
struct UnmapWords {
  size_t bytes;
  void operator()(uint64_t* words) const { munmap(words, bytes); }
};
std::unique_ptr<uint64_t[], UnmapWords> map_words(size_t count) {
  const size_t bytes = count * sizeof(uint64_t);
  void* const data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return {nullptr, {0}};
  madvise(data, bytes, MADV_HUGEPAGE);  // a hint
  return {static_cast<uint64_t*>(data), {bytes}};
}

}  // namespace

int64_t bandwidth_buffer(const Machine& machine, std::optional<int64_t> available) {
  int64_t bytes = int64_t{256} << 20;
  for (const CacheInfo& cache : machine.caches) bytes = std::max(bytes, 2 * cache.bytes);
  return available ? std::min(bytes, *available / 4) : bytes;
}

double measure_read_bandwidth(int threads, int64_t bytes) {
  constexpr int kPasses = 6;
  const auto workers = static_cast<size_t>(std::clamp(threads, 1, 256));
  const size_t words = static_cast<size_t>(std::max<int64_t>(bytes, 0)) / sizeof(uint64_t) / workers;  // each
  if (words == 0) return 0;
  const auto buffer = map_words(words * workers);
  if (buffer == nullptr) return 0;

  std::atomic<uint64_t> sink{0};
  enum class Pass { kWrite, kRead, kReadAsking };
  const auto pass = [&](Pass kind) {
    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::jthread> crew;  // joined also when one cannot be started
    for (size_t w = 0; w < workers; ++w) {
      crew.emplace_back([&, own = buffer.get() + w * words] {
        if (kind == Pass::kWrite) std::fill_n(own, words, uint64_t{1});
        sink += kind == Pass::kReadAsking ? read_lines<true>(own, words) : read_lines<false>(own, words);
      });
    }
    crew.clear();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  double fastest = 0;
  try {
    pass(Pass::kWrite);  // each thread touches its pages first
    for (int i = 0; i < kPasses; ++i) {
      const double seconds = pass(i % 2 == 0 ? Pass::kReadAsking : Pass::kRead);
      if (fastest == 0 || seconds < fastest) fastest = seconds;
    }
  } catch (const std::system_error&) {  // no more threads
    return 0;
  }
  return fastest > 0 ? static_cast<double>(words * workers * sizeof(uint64_t)) / fastest : 0;
}

}  // namespace ferrum
