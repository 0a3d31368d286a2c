// Where Buffers of host memory come from, and which pages they get: huge ones are cleared faster and translated with
// fewer misses, but each is taken whole as soon as a byte of it is touched.
#pragma once

#include "tensor/view.h"

namespace ferrum {

// How memory comes to be used: all of it, or from its front on, perhaps never to its end. Of the latter the first 2 MiB
// have small pages, so that who uses little of it holds little memory, and has little cleared.
enum class HostUse { kWhole, kFromFront };

// Memory as Buffer::host() gives it.
Result<Buffer> host_memory(size_t bytes, HostUse use);

// Memory for many things that are made one after the other and stay: in large pieces, so that even small things lie in
// huge pages. Used by one thread at a time; what it gave away may outlive it, and be released by any thread.
class HostArena {
 public:
  HostArena() = default;
  ~HostArena();
  HostArena(const HostArena&) = delete;
  HostArena& operator=(const HostArena&) = delete;

  // As Buffer::host(). Memory is given back when everything of a piece has been released.
  Result<Buffer> take(size_t bytes);

 private:
  std::byte* piece_ = nullptr;  // the current one
  size_t used_ = 0;             // of it
};

}  // namespace ferrum
