// All kernels, by group. The tables differ in who compiled them, and so in which Device can launch what they name.
#pragma once

#include "backend/cuda/kernels/experts.h"
#include "backend/cuda/kernels/kv.h"
#include "backend/cuda/kernels/linear.h"
#include "backend/cuda/kernels/rows.h"

namespace ferrum::cuda {

struct KernelTable {
  RowKernels rows;
  KvKernels kv;
  LinearKernels linear;
  ExpertKernels experts;
};

namespace device {
KernelTable kernels();
}
namespace emulated {
KernelTable kernels();
}

}  // namespace ferrum::cuda
