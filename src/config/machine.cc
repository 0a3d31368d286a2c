#include "config/machine.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string_view>

#include "config/parse.h"

namespace ferrum {
namespace {

namespace fs = std::filesystem;

constexpr const char* kIsaFlags[] = {"avx2",        "f16c",        "fma",      "avx512f",  "avx512bw",
                                     "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_int8", "amx_bf16"};

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
  std::istringstream words(field(cpuinfo, "flags"));
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
int64_t cache_bytes(const std::string& size) { return parse_bytes(size, int64_t{1} << 40).is_ok() ? *parse_bytes(size, int64_t{1} << 40) : 0; }

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

// The tightest limit on the way from our cgroup (version 2) to the root; a container sees its own as the root.
void probe_cgroup(const fs::path& root, Machine& m) {
  std::string own;  // "0::/user.slice/..."
  std::istringstream lines(read_file(root / "proc/self/cgroup"));
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("0::", 0) == 0) own = line.substr(3);
  }
  const fs::path top = root / "sys/fs/cgroup";
  for (fs::path group = fs::path(own).relative_path();; group = group.parent_path()) {
    const fs::path at = top / group;
    const auto limit = read_int(at / "memory.max");  // "max" is no number
    if (limit && (!m.cgroup_memory_limit || *limit < *m.cgroup_memory_limit)) {
      m.cgroup_memory_limit = limit;
      const int64_t used = read_int(at / "memory.current").value_or(0);
      int64_t droppable = 0;
      std::istringstream stat(read_file(at / "memory.stat"));
      for (std::string key; stat >> key;) {
        int64_t value = 0;
        stat >> value;
        if (key == "inactive_file" || key == "active_file") droppable += value;
      }
      m.cgroup_memory_used = std::max<int64_t>(used - droppable, 0);
    }
    std::istringstream quota(read_file(at / "cpu.max"));  // "200000 100000" or "max 100000"
    double allowed = 0, period = 0;
    if (quota >> allowed >> period && period > 0) {
      const double cpus = allowed / period;
      if (m.cgroup_cpus == 0 || cpus < m.cgroup_cpus) m.cgroup_cpus = cpus;
    }
    if (group.empty()) break;
  }
  // Version 1, where that is what is mounted.
  const auto v1 = read_int(top / "memory/memory.limit_in_bytes");
  if (!m.cgroup_memory_limit && v1 && *v1 < (int64_t{1} << 60)) {
    m.cgroup_memory_limit = v1;
    m.cgroup_memory_used = read_int(top / "memory/memory.usage_in_bytes").value_or(0);
  }
}

}  // namespace

int64_t Machine::usable_memory() const {
  int64_t usable = memory_available;
  if (cgroup_memory_limit) {
    usable = std::min(usable, std::max<int64_t>(*cgroup_memory_limit - cgroup_memory_used.value_or(0), 0));
  }
  return usable;
}

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

}  // namespace ferrum
