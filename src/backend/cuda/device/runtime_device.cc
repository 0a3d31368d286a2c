// A Device on the CUDA runtime. It is linked statically and loads the driver when it is first used: the program starts
// and runs on machines without one, where open_cuda_device() refuses.
#include <cuda_runtime_api.h>

#include "backend/cuda/device/open.h"

namespace ferrum::cuda {
namespace {

constexpr int kDevice = 0;            // CUDA's first; CUDA_VISIBLE_DEVICES says which that is
constexpr int kLeastCapability = 80;  // bf16 on tensor cores

std::string text(cudaError_t error) {
  return std::string(cudaGetErrorName(error)) + " (" + cudaGetErrorString(error) + ")";
}

Status check(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return Status::ok();
  cudaGetLastError();  // else the next call that cannot fail would report it
  const bool full = error == cudaErrorMemoryAllocation;
  return {full ? StatusCode::kCapacity : StatusCode::kInternal, "CUDA: " + what + ": " + text(error)};
}

class RuntimeDevice final : public Device {
 public:
  ~RuntimeDevice() override {
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  Status open(DeviceFacts facts) {
    facts_ = std::move(facts);
    FERRUM_RETURN_IF_ERROR(check(cudaSetDevice(kDevice), "choosing the device"));
    return check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  }

  const DeviceFacts& facts() const override { return facts_; }

  Result<Buffer> allocate(size_t bytes) override {
    void* data = nullptr;
    const size_t some = bytes > 0 ? bytes : 1;
    const std::string what = "allocating " + std::to_string(bytes) + " bytes";
    FERRUM_RETURN_IF_ERROR(check(cudaMalloc(&data, some), what));
    Buffer buffer(data, bytes, [](void* p, size_t) { cudaFree(p); });
    FERRUM_RETURN_IF_ERROR(check(cudaMemsetAsync(data, 0, some, stream_), what));
    return buffer;
  }

  Result<Buffer> allocate_pinned(size_t bytes) override {
    void* data = nullptr;
    FERRUM_RETURN_IF_ERROR(check(cudaMallocHost(&data, bytes > 0 ? bytes : 1),
                                 "page-locking " + std::to_string(bytes) + " bytes of host memory"));
    return Buffer(data, bytes, [](void* p, size_t) { cudaFreeHost(p); });
  }

  Status copy_to_device(void* device, const void* host, size_t bytes) override {
    return copy(device, host, bytes, cudaMemcpyHostToDevice);
  }
  Status copy_to_host(void* host, const void* device, size_t bytes) override {
    return copy(host, device, bytes, cudaMemcpyDeviceToHost);
  }
  Status copy_on_device(void* to, const void* from, size_t bytes) override {
    return copy(to, from, bytes, cudaMemcpyDeviceToDevice);
  }

  Status launch(const KernelEntry& kernel, const LaunchShape& s, const void* args, size_t) override {
    const auto* function = reinterpret_cast<const void*>(kernel.function);
    constexpr uint32_t kWithoutAsking = 48 * 1024;
    if (s.shared_bytes > kWithoutAsking) {
      FERRUM_RETURN_IF_ERROR(check(
          cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(s.shared_bytes)),
          "shared memory of kernel '" + std::string(kernel.name) + "'"));
    }
    void* arguments[] = {const_cast<void*>(args)};
    const cudaError_t error = cudaLaunchKernel(function, {s.grid.x, s.grid.y, s.grid.z},
                                               {s.block.x, s.block.y, s.block.z}, arguments, s.shared_bytes, stream_);
    last_kernel_ = kernel.name;
    return check(error, "launching kernel '" + std::string(kernel.name) + "'");
  }

  Status synchronize() override {
    return check(cudaStreamSynchronize(stream_),
                 "waiting for the device, whose last kernel was '" + last_kernel_ + "'");
  }

 private:
  Status copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
    return check(cudaMemcpyAsync(to, from, bytes, kind, stream_), "copying " + std::to_string(bytes) + " bytes");
  }

  DeviceFacts facts_;
  cudaStream_t stream_ = nullptr;
  std::string last_kernel_;
};

}  // namespace

Result<DeviceFacts> find_cuda_device() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess || count == 0) {
    cudaGetLastError();
    return unsupported(
        "no CUDA device: " + (error != cudaSuccess ? text(error) : std::string("the driver lists none")) +
        "; use backend 'cpu'");
  }
  cudaDeviceProp properties;
  FERRUM_RETURN_IF_ERROR(check(cudaGetDeviceProperties(&properties, kDevice), "properties of the device"));
  const DeviceFacts facts{properties.name, properties.major * 10 + properties.minor, properties.multiProcessorCount,
                          static_cast<int64_t>(properties.sharedMemPerBlockOptin),
                          static_cast<int64_t>(properties.totalGlobalMem)};
  if (facts.compute_capability >= kLeastCapability) return facts;
  return unsupported(facts.name + " has compute capability " + std::to_string(properties.major) + "." +
                     std::to_string(properties.minor) + "; backend 'cuda' needs 8.0 or later; use backend 'cpu'");
}

Result<OpenDevice> open_cuda_device() {
  FERRUM_ASSIGN_OR_RETURN(DeviceFacts facts, find_cuda_device());
  auto device = std::make_unique<RuntimeDevice>();
  FERRUM_RETURN_IF_ERROR(device->open(std::move(facts)));
  return OpenDevice{std::move(device), device::kernels()};
}

bool compiled_with_cuda() { return true; }

}  // namespace ferrum::cuda
