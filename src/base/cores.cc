#include "base/cores.h"

#include <sched.h>

#include <algorithm>

namespace ferrum {

int process_cores() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof mask, &mask) != 0) return 1;
  return std::max(1, CPU_COUNT(&mask));
}

}  // namespace ferrum
