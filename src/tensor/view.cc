#include "tensor/view.h"

#include "tensor/host_memory.h"

namespace ferrum {

std::string describe(const ConstView& view) {
  std::string out = "[";
  for (int i = 0; i < view.rank; ++i) out += (i > 0 ? ", " : "") + std::to_string(view.dim(i));
  return out + "] " + std::string(to_string(view.dtype));
}

Result<Buffer> Buffer::host(size_t bytes) { return host_memory(bytes, HostUse::kWhole); }

}  // namespace ferrum
