#include "backend/cpu/cpu_backend.h"

#include "backend/cpu/cpu_linear.h"

namespace ferrum {

std::string CpuBackend::describe() const {
  const int threads = context_.pool.size();
  return "cpu (" + std::string(to_string(context_.isa)) + ", " + std::to_string(threads) +
         (threads == 1 ? " thread)" : " threads)");
}

Result<std::unique_ptr<Linear>> CpuBackend::make_linear(LinearSpec spec) {
  return make_cpu_linear(context_, std::move(spec));
}

}  // namespace ferrum
