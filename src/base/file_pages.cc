#include "base/file_pages.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace ferrum {
namespace {

// Linux reads no more for one call than a file may be read ahead, which is this unless somebody raised it.
constexpr uintptr_t kReadAheadBytes = 128 << 10;

uintptr_t page_size() {
  static const auto size = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return size;
}

uintptr_t page_begin(const void* data) { return reinterpret_cast<uintptr_t>(data) / page_size() * page_size(); }

}  // namespace

// Ranges that touch become one again, so whole pages outwards: a mapping has no more than some ten thousand pieces.
void stop_guessing(const void* data, size_t bytes) {
  const uintptr_t begin = page_begin(data);
  (void)madvise(reinterpret_cast<void*>(begin), reinterpret_cast<uintptr_t>(data) + bytes - begin, MADV_RANDOM);
}

void read_ahead(const void* data, size_t bytes) {
  const auto end = reinterpret_cast<uintptr_t>(data) + bytes;
  for (uintptr_t at = page_begin(data); at < end; at += kReadAheadBytes) {
    (void)madvise(reinterpret_cast<void*>(at), std::min(kReadAheadBytes, end - at), MADV_WILLNEED);
  }
}

void drop_pages(const void* data, size_t bytes) {
  const uintptr_t page = page_size();
  const auto begin = (reinterpret_cast<uintptr_t>(data) + page - 1) / page * page;
  const auto end = (reinterpret_cast<uintptr_t>(data) + bytes) / page * page;
  if (begin < end) (void)madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void forget_cached_pages(const std::string& path, uint64_t offset, uint64_t bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return;
  (void)posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(bytes), POSIX_FADV_DONTNEED);
  ::close(fd);
}

}  // namespace ferrum
