// Execution that can be left in the middle and entered again: a thread of an emulated block.
#pragma once

#include <cstddef>
#include <memory>

namespace ferrum::cuda::emulation {

class Fiber {
 public:
  static constexpr size_t kStackBytes = 64 * 1024;

  Fiber();
  ~Fiber();
  Fiber(Fiber&&) noexcept;

  // Makes the next enter() call entry(), which must never return but leave() for good. What ran here before is dropped.
  void start(void (*entry)());
  void enter();  // from outside, until leave()
  void leave();  // from inside; returns at the next enter()

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ferrum::cuda::emulation
