// What host code says about a kernel: where it is, how it is cut into blocks, and its one argument.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ferrum::cuda {

struct Extent {
  uint32_t x = 1, y = 1, z = 1;
  constexpr int64_t count() const { return int64_t{x} * y * z; }
};

struct LaunchShape {
  Extent grid, block;
  uint32_t shared_bytes = 0;  // of dynamic shared memory per block
};

// A kernel without its type, as a Device launches it. `call` runs it on the calling thread: what the emulator does.
struct KernelEntry {
  const char* name;
  void (*function)();
  void (*call)(void (*function)(), const void* args);
};

// Kernels take one struct of plain values, so that launching needs no list of arguments.
template <typename Args>
struct Kernel {
  const char* name;
  void (*function)(Args);

  KernelEntry entry() const {
    return {name, reinterpret_cast<void (*)()>(function), [](void (*f)(), const void* args) {
              reinterpret_cast<void (*)(Args)>(f)(*static_cast<const Args*>(args));
            }};
  }
};

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace ferrum::cuda
