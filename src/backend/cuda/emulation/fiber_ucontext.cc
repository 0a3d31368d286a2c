// Fibers by the C library, for machines without a switch of their own.
#include <ucontext.h>

#include <utility>
#include <vector>

#include "backend/cuda/emulation/fiber.h"

namespace ferrum::cuda::emulation {

struct Fiber::State {
  ucontext_t inside, outside;
  std::vector<std::byte> stack = std::vector<std::byte>(kStackBytes);
};

Fiber::Fiber() : state_(std::make_unique<State>()) {}
Fiber::~Fiber() = default;
Fiber::Fiber(Fiber&&) noexcept = default;

void Fiber::start(void (*entry)()) {
  getcontext(&state_->inside);
  state_->inside.uc_stack.ss_sp = state_->stack.data();
  state_->inside.uc_stack.ss_size = state_->stack.size();
  makecontext(&state_->inside, entry, 0);
}

void Fiber::enter() { swapcontext(&state_->outside, &state_->inside); }
void Fiber::leave() { swapcontext(&state_->inside, &state_->outside); }

}  // namespace ferrum::cuda::emulation
