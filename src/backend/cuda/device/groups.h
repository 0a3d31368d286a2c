// One function per source of this directory that nvcc compiles; a source per group, so that they compile side by side.
#pragma once

#include "backend/cuda/kernels/table.h"

namespace ferrum::cuda::device {

RowKernels rows_on_device();
KvKernels kv_on_device();
LinearKernels linear_on_device();
ExpertKernels experts_on_device();

}  // namespace ferrum::cuda::device
