#include "backend/cuda/emulation/block.h"

#include <memory>

#include "backend/cuda/emulation/race_check.h"
#include "base/check.h"

namespace ferrum::cuda::emulation {

Extent threadIdx, blockIdx, blockDim, gridDim;

namespace {

enum class State { kReady, kAtBarrier, kInWarp, kEnded };

struct Thread {
  Fiber fiber;
  State state = State::kReady;
  Extent index;
  Site site;                // where it waits
  uint32_t mask = 0;        // of the warp operation that it waits in
  void* operand = nullptr;  // its part of it
  Moment now;
};

// The multiprocessor. Threads and their stacks are kept from launch to launch.
struct Machine {
  std::vector<std::unique_ptr<Thread>> threads;
  size_t count = 0;  // threads of a block of this grid
  Thread* running = nullptr;
  KernelEntry kernel{};
  const void* args = nullptr;
  LaunchShape shape;
  std::string failure;
  uint64_t barriers = 1;
  alignas(256) std::array<std::byte, kSharedBytes> shared;
  RaceCheck races{kSharedBytes};
};

Machine& machine() {
  static const auto the_machine = std::make_unique<Machine>();
  return *the_machine;
}

std::string text(const Site& site) {
  const std::string file = site.file;
  return file.substr(file.rfind('/') + 1) + ":" + std::to_string(site.line);
}

std::string describe(const Thread& t) {
  std::string what = "thread " + std::to_string(t.now.thread);
  switch (t.state) {
    case State::kReady: return what + " runs";
    case State::kAtBarrier: return what + " waits at the barrier of " + text(t.site);
    case State::kInWarp: return what + " waits in the warp operation of " + text(t.site);
    case State::kEnded: return what + " has ended";
  }
  return what;
}

// Leaves the running thread to the others.
void wait(State state, Site site) {
  Thread& t = *machine().running;
  t.state = state;
  t.site = site;
  t.fiber.leave();
}

struct Failed {};  // thrown by fail(), so that what lies on the thread's stack is destroyed

void run_thread() {
  Machine& m = machine();
  try {
    m.kernel.call(m.kernel.function, m.args);
  } catch (const Failed&) {
    // machine().failure says why, and ends the block.
  }
  wait(State::kEnded, {});
}

// Nobody can run: opens the barrier if all are there, else says who is not.
void pass_barrier(Machine& m) {
  const Thread* waiting = nullptr;
  for (size_t i = 0; i < m.count && waiting == nullptr; ++i) {
    if (m.threads[i]->state != State::kEnded) waiting = m.threads[i].get();
  }
  for (size_t i = 0; i < m.count; ++i) {
    const Thread& t = *m.threads[i];
    if (waiting->state == State::kAtBarrier && t.state == State::kAtBarrier && t.site == waiting->site) continue;
    if (&t == waiting && m.count > 1 && waiting->state == State::kInWarp) continue;
    m.failure = describe(*waiting) + ", " + describe(t);
    return;
  }
  if (waiting->state != State::kAtBarrier) {
    m.failure = describe(*waiting) + ", which others of its mask never reach";
    return;
  }
  ++m.barriers;
  for (size_t i = 0; i < m.count; ++i) {
    m.threads[i]->state = State::kReady;
    m.threads[i]->now.barriers = m.barriers;
  }
}

void run_block(Machine& m) {
  m.races.start_block(++m.barriers);
  for (size_t i = 0; i < m.count; ++i) {
    Thread& t = *m.threads[i];
    t.state = State::kReady;
    t.now = {m.barriers, 0, static_cast<int>(i)};
    t.fiber.start(run_thread);
  }
  for (bool unfinished = true; unfinished && m.failure.empty();) {
    bool moved = false;
    unfinished = false;
    for (size_t i = 0; i < m.count && m.failure.empty(); ++i) {
      Thread& t = *m.threads[i];
      if (t.state == State::kReady) {
        m.running = &t;
        threadIdx = t.index;
        t.fiber.enter();
        moved = true;
      }
      unfinished = unfinished || t.state != State::kEnded;
    }
    if (unfinished && !moved) pass_barrier(m);
  }
}

std::string wrong_shape(const LaunchShape& s) {
  const int64_t threads = s.block.count();
  if (threads < 1 || threads > 1024) return "blocks of " + std::to_string(threads) + " threads";
  if (s.grid.count() < 1) return "an empty grid";
  if (s.grid.x > INT32_MAX || s.grid.y > 65535 || s.grid.z > 65535) return "a grid beyond the limits";
  if (s.shared_bytes > kSharedBytes) return std::to_string(s.shared_bytes) + " bytes of shared memory";
  return "";
}

void prepare(Machine& m, const KernelEntry& kernel, const LaunchShape& shape, const void* args) {
  m.kernel = kernel;
  m.shape = shape;
  m.args = args;
  m.count = static_cast<size_t>(shape.block.count());
  gridDim = shape.grid;
  blockDim = shape.block;
  m.failure.clear();
  while (m.threads.size() < m.count) m.threads.push_back(std::make_unique<Thread>());
  const Extent& e = shape.block;
  for (uint32_t i = 0; i < m.count; ++i) m.threads[i]->index = {i % e.x, i / e.x % e.y, i / e.x / e.y};
}

void access(const void* at, uint32_t bytes, bool write) {
  Machine& m = machine();
  const auto* const byte = static_cast<const std::byte*>(at);
  const auto offset = static_cast<size_t>(byte - m.shared.data());
  for (size_t i = offset; i < offset + bytes; ++i) {
    const char* wrong = i >= m.shape.shared_bytes ? "beyond what the launch asked for"
                        : write                   ? m.races.write(i, m.running->now)
                                                  : m.races.read(i, m.running->now);
    if (wrong != nullptr)
      fail((write ? "writes byte " : "reads byte ") + std::to_string(i) + " of shared memory " + wrong);
  }
}

}  // namespace

Status run_grid(const KernelEntry& kernel, const LaunchShape& shape, const void* args) {
  Machine& m = machine();
  FERRUM_CHECK(m.running == nullptr, "an emulated kernel is running");
  const std::string wrong = wrong_shape(shape);
  if (!wrong.empty()) return invalid_argument("kernel '" + std::string(kernel.name) + "': " + wrong);
  prepare(m, kernel, shape, args);
  for (int64_t i = 0; i < shape.grid.count() && m.failure.empty(); ++i) {
    const auto at = static_cast<uint64_t>(i);
    blockIdx.x = static_cast<uint32_t>(at % shape.grid.x);
    blockIdx.y = static_cast<uint32_t>(at / shape.grid.x % shape.grid.y);
    blockIdx.z = static_cast<uint32_t>(at / shape.grid.x / shape.grid.y);
    run_block(m);
  }
  m.running = nullptr;
  if (m.failure.empty()) return Status::ok();
  return internal_error("kernel '" + std::string(kernel.name) + "', block (" + std::to_string(blockIdx.x) + ", " +
                        std::to_string(blockIdx.y) + ", " + std::to_string(blockIdx.z) + "): " + m.failure);
}

void barrier(Site site) { wait(State::kAtBarrier, site); }

void warp_collective(uint32_t mask, Site site, WarpOperation perform, void* operand) {
  Machine& m = machine();
  Thread& self = *m.running;
  const auto warp = static_cast<size_t>(self.now.warp()) * kWarp;
  const auto lane = static_cast<size_t>(self.now.thread) - warp;
  if ((mask >> lane & 1) == 0) fail("is not in the mask of its warp operation at " + text(site));
  self.mask = mask;
  self.operand = operand;
  self.site = site;
  self.state = State::kInWarp;
  std::array<void*, kWarp> operands{};
  for (size_t i = 0; i < kWarp; ++i) {
    if ((mask >> i & 1) == 0) continue;
    if (warp + i >= m.count) fail("has lanes in the mask at " + text(site) + " that the block does not have");
    const Thread& other = *m.threads[warp + i];
    if (other.state != State::kInWarp || other.site != site || other.mask != mask) {
      self.fiber.leave();  // until the last one has come, who does it for all
      return;
    }
    operands[i] = other.operand;
  }
  perform(operands);
  for (size_t i = 0; i < kWarp; ++i) {
    if (mask >> i & 1) m.threads[warp + i]->state = State::kReady;
  }
}

void warp_barrier(Site site) {
  warp_collective(
      0xffffffffu, site, [](const std::array<void*, kWarp>&) {}, nullptr);
  ++machine().running->now.warp_barriers;
}

std::byte* shared_bytes(uint32_t offset, uint32_t bytes) {
  Machine& m = machine();
  if (offset > m.shape.shared_bytes || bytes > m.shape.shared_bytes - offset) {
    fail("wants bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) + " of " +
         std::to_string(m.shape.shared_bytes) + " of shared memory");
  }
  return m.shared.data() + offset;
}

void will_read_shared(const void* at, uint32_t bytes) { access(at, bytes, false); }
void will_write_shared(const void* at, uint32_t bytes) { access(at, bytes, true); }

void fail(const std::string& what) {
  Machine& m = machine();
  m.failure = "thread " + std::to_string(m.running->now.thread) + " " + what;
  throw Failed();
}

}  // namespace ferrum::cuda::emulation
