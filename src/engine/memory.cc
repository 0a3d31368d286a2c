#include "engine/memory.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <initializer_list>
#include <string_view>

namespace ferrum {
namespace {

std::optional<int64_t> parse_number(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data() || value < 0) return std::nullopt;
  return value;
}

// The number in a file that holds nothing else; nullopt for "max".
std::optional<int64_t> read_number(const std::string& path) {
  std::ifstream in(path);
  std::string word;
  if (!(in >> word)) return std::nullopt;
  return parse_number(word);
}

// The number after `key` at the beginning of a line.
std::optional<int64_t> read_field(const std::string& path, std::string_view key) {
  std::ifstream in(path);
  std::string name, value;
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const size_t at = line.find_first_not_of(" \t", key.size());
    if (at != std::string::npos && at > key.size()) return parse_number(std::string_view(line).substr(at));
  }
  return std::nullopt;
}

void lower(std::optional<int64_t>& least, int64_t value) {
  least = std::min(least.value_or(value), std::max<int64_t>(0, value));
}

// Names of the files of one cgroup version.
struct CgroupFiles {
  const char *mount, *limit, *usage, *cache_key;
};
constexpr CgroupFiles kV2{"/sys/fs/cgroup", "memory.max", "memory.current", "file"};
constexpr CgroupFiles kV1{"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"};

// A limit may be set at any level above the process's group, so all are looked at. In a container the path can be one
// of the host's that does not exist here; then the mount's own root is what limits.
void apply_cgroup(const std::string& root, const CgroupFiles& files, std::string path, std::optional<int64_t>& least) {
  while (true) {
    const std::string directory = root + files.mount + path + "/";
    const auto limit = read_number(directory + files.limit), usage = read_number(directory + files.usage);
    if (limit && usage) {
      const int64_t cache = read_field(directory + "memory.stat", files.cache_key).value_or(0);
      lower(least, *limit - std::max<int64_t>(0, *usage - cache));
    }
    if (path.empty()) return;
    path.resize(path.find_last_of('/'));
  }
}

}  // namespace

std::optional<int64_t> available_memory(const std::string& root) {
  std::optional<int64_t> least;
  if (const auto kib = read_field(root + "/proc/meminfo", "MemAvailable:")) least = *kib * 1024;

  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // "hierarchy:controllers:path"
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers(1, ',');
    controllers.append(line, first + 1, second - first - 1).push_back(',');
    std::string path = line.substr(second + 1);
    if (path.empty() || path.front() != '/') continue;
    if (path == "/") path.clear();
    if (line.starts_with("0::")) apply_cgroup(root, kV2, path, least);
    if (controllers.find(",memory,") != std::string::npos) apply_cgroup(root, kV1, path, least);
  }
  return least;
}

ProcessMemory process_memory(const std::string& root) {
  const auto field = [path = root + "/proc/self/status"](std::string_view key) {
    return read_field(path, key).value_or(0) * 1024;
  };
  return {field("RssAnon:"), field("RssFile:") + field("RssShmem:"), field("VmHWM:")};
}

std::string format_bytes(int64_t bytes) {
  const char* const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) value /= 1024, ++unit;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
  return text;
}

}  // namespace ferrum
