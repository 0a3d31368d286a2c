#include "backend/cuda/emulation/device_memory.h"

#include <sys/mman.h>

#include <map>
#include <mutex>
#include <string>

#include "base/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define FERRUM_WATCHED_MEMORY
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FERRUM_WATCHED_MEMORY
#endif
#endif

namespace ferrum::cuda::emulation {

#if defined(FERRUM_WATCHED_MEMORY)

Result<Buffer> allocate_device_memory(size_t bytes) { return Buffer::host(bytes); }
DeviceWorks::DeviceWorks() = default;
DeviceWorks::~DeviceWorks() = default;

#else

namespace {

struct Mappings {
  std::mutex mutex;
  // Guarded by mutex:
  std::map<void*, size_t> bytes;  // by begin
  int working = 0;                // DeviceWorks that live

  void protect(void* data, size_t size) const {
    const int access = working > 0 ? PROT_READ | PROT_WRITE : PROT_NONE;
    FERRUM_CHECK(mprotect(data, size, access) == 0, "the system does not protect the memory of the emulated device");
  }
  void protect_all() const {
    for (const auto& [data, size] : bytes) protect(data, size);
  }
};

Mappings& mappings() {
  static auto* const all = new Mappings;  // outlives every Buffer
  return *all;
}

void release(void* data, size_t) {
  Mappings& m = mappings();
  const std::lock_guard lock(m.mutex);
  const auto found = m.bytes.find(data);
  munmap(data, found->second);
  m.bytes.erase(found);
}

}  // namespace

Result<Buffer> allocate_device_memory(size_t bytes) {
  constexpr size_t kPage = 4096;
  const size_t size = (bytes / kPage + 1) * kPage;
  void* const data = mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return capacity_exceeded("no " + std::to_string(bytes) + " bytes for the emulated device");
  Mappings& m = mappings();
  const std::lock_guard lock(m.mutex);
  m.bytes.emplace(data, size);
  m.protect(data, size);
  return Buffer(data, bytes, release);
}

DeviceWorks::DeviceWorks() {
  Mappings& m = mappings();
  const std::lock_guard lock(m.mutex);
  if (m.working++ == 0) m.protect_all();
}
DeviceWorks::~DeviceWorks() {
  Mappings& m = mappings();
  const std::lock_guard lock(m.mutex);
  if (--m.working == 0) m.protect_all();
}

#endif

}  // namespace ferrum::cuda::emulation
