// Which implementation of one kernel a backend took, and which it tried before and why not (backend/parity_gate.h).
#pragma once

#include <string>
#include <vector>

namespace ferrum {

struct KernelChoice {
  struct Rejected {
    std::string level, reason;
  };
  std::string kernel;  // "dot Q4_K", "attention F16"
  std::string level;   // "avx512"
  std::vector<Rejected> rejected;
};

}  // namespace ferrum
