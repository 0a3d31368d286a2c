// Fibers by a switch of our own: the C library's asks the kernel for the signal mask each time, which would be most of
// the time an emulated kernel takes.
#include <cstdint>
#include <utility>
#include <vector>

#include "backend/cuda/emulation/fiber.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FERRUM_ASAN 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define FERRUM_ASAN 1
#endif
#ifdef FERRUM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves what the System V ABI asks a function to keep on the stack that is left, and takes it from the one entered.
extern "C" void ferrum_switch_stacks(void** left, void* entered);
asm(R"(
  .text
  .globl ferrum_switch_stacks
  .type ferrum_switch_stacks, @function
ferrum_switch_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size ferrum_switch_stacks, .-ferrum_switch_stacks
)");

namespace ferrum::cuda::emulation {

struct Fiber::State {
  void (*entry)() = nullptr;
  void* inside = nullptr;  // stack pointers of the side that does not run
  void* outside = nullptr;
  const void* outside_bottom = nullptr;
  size_t outside_bytes = 0;
  std::vector<std::byte> stack = std::vector<std::byte>(kStackBytes);

  // The sanitizer must know which stack is in use.
#ifdef FERRUM_ASAN
  void forget_frames() { __asan_unpoison_memory_region(stack.data(), stack.size()); }
  void announce_inside() { __sanitizer_start_switch_fiber(nullptr, stack.data(), stack.size()); }
  void announce_outside() { __sanitizer_start_switch_fiber(nullptr, outside_bottom, outside_bytes); }
  void arrive_inside() { __sanitizer_finish_switch_fiber(nullptr, &outside_bottom, &outside_bytes); }
  void arrive_outside() { __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr); }
#else
  void forget_frames() {}
  void announce_inside() {}
  void announce_outside() {}
  void arrive_inside() {}
  void arrive_outside() {}
#endif

  static State* entered;  // the one that runs
  static void begin() {
    entered->arrive_inside();
    entered->entry();
  }
};

Fiber::State* Fiber::State::entered = nullptr;

Fiber::Fiber() : state_(std::make_unique<State>()) {}
Fiber::~Fiber() = default;
Fiber::Fiber(Fiber&&) noexcept = default;

void Fiber::start(void (*entry)()) {
  state_->entry = entry;
  state_->forget_frames();
  auto* top =
      reinterpret_cast<void**>(reinterpret_cast<uintptr_t>(state_->stack.data() + kStackBytes) & ~uintptr_t{15});
  *--top = nullptr;  // what begin() would return to; it also aligns the stack as after a call
  *--top = reinterpret_cast<void*>(&State::begin);
  for (int saved = 0; saved < 6; ++saved) *--top = nullptr;
  state_->inside = top;
}

void Fiber::enter() {
  State::entered = state_.get();
  state_->announce_inside();
  ferrum_switch_stacks(&state_->outside, state_->inside);
  state_->arrive_outside();
}

void Fiber::leave() {
  state_->announce_outside();
  ferrum_switch_stacks(&state_->inside, state_->outside);
  state_->arrive_inside();
}

}  // namespace ferrum::cuda::emulation
