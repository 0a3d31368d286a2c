// The backends that tests of CUDA kernels run on: the emulator always, and the machine's device where there is one.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "backend/cuda/cuda_backend.h"
#include "backend/cuda/device/open.h"
#include "backend/cuda/emulation/emulated_device.h"
#include "backend/test_support.h"

namespace ferrum::testing_support {

inline std::unique_ptr<Backend> make_emulated_cuda(const BackendLimits& limits = {.max_tokens = 64}) {
  return std::make_unique<cuda::CudaBackend>(cuda::make_emulated_device(), cuda::emulated::kernels(), limits);
}

inline std::vector<std::unique_ptr<Backend>> cuda_backends(const BackendLimits& limits = {.max_tokens = 64}) {
  std::vector<std::unique_ptr<Backend>> all;
  all.push_back(make_emulated_cuda(limits));
  auto opened = cuda::open_cuda_device();
  if (opened.is_ok()) {
    all.push_back(std::make_unique<cuda::CudaBackend>(std::move(opened->device), opened->kernels, limits));
  }
  return all;
}

// Matrices on a device, for as long as this lives. Inputs are copied when they are named, results by fetch().
class OnDevice {
 public:
  explicit OnDevice(Backend& backend) : backend_(backend) {}

  // The rows without gaps become rows with the same gaps on the device.
  View matrix(const Matrix& m) {
    View v(copy(m.data.data(), m.data.size() * sizeof(float)), DType::kF32, {m.rows_, m.cols_});
    v.row_stride = m.stride_;
    return v;
  }
  ConstView vector(const std::vector<float>& v) {
    return ConstView(copy(v.data(), v.size() * sizeof(float)), DType::kF32, {static_cast<int64_t>(v.size())});
  }
  ConstView vector(const std::vector<int32_t>& v) {
    return ConstView(copy(v.data(), v.size() * sizeof(int32_t)), DType::kI32, {static_cast<int64_t>(v.size())});
  }
  ConstView stored(const Stored& m) {
    return ConstView(copy(m.bytes.data(), m.bytes.size()), m.dtype, {m.rows, m.cols});
  }

  // All memory of a matrix, its gaps included. Fails the test if an op failed.
  std::vector<float> fetch(const View& v) {
    const ConstView all(v.data, DType::kF32, {v.dim(0) * v.row_stride});
    return fetch_as<float>(all);
  }
  template <typename T>
  std::vector<T> fetch_as(const ConstView& v) {
    const Result<ConstView> host = backend_.download(v);
    EXPECT_TRUE(host.is_ok()) << host.status().message();
    if (!host.is_ok()) return {};
    const auto* p = static_cast<const T*>(host->data);
    return std::vector<T>(p, p + bytes_of(v.dtype, v.elements()) / sizeof(T));
  }

 private:
  void* copy(const void* data, size_t bytes) {
    // A host backend uses what it is given where it is.
    const auto* first = static_cast<const std::byte*>(data);
    copies_.push_back(std::make_unique<std::vector<std::byte>>(first, first + bytes));
    const ConstView placed =
        backend_.place(ConstView(copies_.back()->data(), DType::kI8, {static_cast<int64_t>(bytes)})).value();
    return const_cast<void*>(placed.data);
  }
  std::vector<std::unique_ptr<std::vector<std::byte>>> copies_;
  Backend& backend_;
};

}  // namespace ferrum::testing_support
