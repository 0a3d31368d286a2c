// The processors this process may use.
#pragma once

namespace ferrum {

// Cores in the affinity mask, at least 1: in a container often fewer than the machine has.
int process_cores();

}  // namespace ferrum
