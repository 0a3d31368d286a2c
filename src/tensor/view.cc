#include "tensor/view.h"

#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

namespace ferrum {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

void release_heap(void* data, size_t) { std::free(data); }
void release_mapping(void* data, size_t bytes) { munmap(data, bytes); }

}  // namespace

std::string describe(const ConstView& view) {
  std::string out = "[";
  for (int i = 0; i < view.rank; ++i) out += (i > 0 ? ", " : "") + std::to_string(view.dim(i));
  return out + "] " + std::string(to_string(view.dtype));
}

Result<Buffer> Buffer::host(size_t bytes) {
  const auto failed = [bytes] {
    return capacity_exceeded("the system refused " + std::to_string(bytes) +
                             " bytes of memory; use a smaller context, fewer sequences or a smaller model");
  };
  if (bytes >= kHugePage) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return failed();
    madvise(data, bytes, MADV_HUGEPAGE);  // a hint: refusal costs speed only
    return Buffer(data, bytes, release_mapping);
  }
  const size_t rounded = (bytes + 63) / 64 * 64;
  void* data = std::aligned_alloc(64, rounded == 0 ? 64 : rounded);
  if (data == nullptr) return failed();
  std::memset(data, 0, rounded);
  return Buffer(data, bytes, release_heap);
}

}  // namespace ferrum
