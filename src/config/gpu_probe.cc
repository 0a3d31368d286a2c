#include "config/gpu_probe.h"

#include <dlfcn.h>

#include <memory>

#include "base/quote.h"

namespace ferrum {
namespace {

// The part of the CUDA driver API and of NVML that we call, as their manuals declare it.
constexpr int kAttributeSmCount = 16;
constexpr int kAttributeMajor = 75;
constexpr int kAttributeMinor = 76;
constexpr int kMaxDevices = 64;

struct NvmlMemory {
  unsigned long long total, free, used;  // NOLINT: the types of nvmlMemory_t
};

class Library {
 public:
  explicit Library(const std::string& path) : handle_(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle_ == nullptr) {
      const char* error = dlerror();
      error_ = error == nullptr ? path + " cannot be loaded" : printable(error, 300);
    }
  }
  // Never closed: drivers keep threads.
  const std::string& error() const { return error_; }

  // Stays null, and the library is unusable, where the function is missing.
  template <typename Function>
  void find(const char* name, Function*& function) {
    if (handle_ == nullptr) return;
    function = reinterpret_cast<Function*>(dlsym(handle_, name));
    if (function == nullptr && error_.empty()) error_ = std::string("the driver library lacks ") + name;
  }

 private:
  void* handle_;
  std::string error_;
};

struct Cuda {
  explicit Cuda(const std::string& path) : library(path) {
    library.find("cuInit", init);
    library.find("cuDriverGetVersion", version);
    library.find("cuDeviceGetCount", count);
    library.find("cuDeviceGet", get);
    library.find("cuDeviceGetName", name);
    library.find("cuDeviceGetPCIBusId", bus_id);
    library.find("cuDeviceGetAttribute", attribute);
    library.find("cuDeviceTotalMem_v2", total_memory);
  }
  Library library;
  int (*init)(unsigned) = nullptr;
  int (*version)(int*) = nullptr;
  int (*count)(int*) = nullptr;
  int (*get)(int*, int) = nullptr;
  int (*name)(char*, int, int) = nullptr;
  int (*bus_id)(char*, int, int) = nullptr;
  int (*attribute)(int*, int, int) = nullptr;
  int (*total_memory)(size_t*, int) = nullptr;
};

struct Nvml {
  explicit Nvml(const std::string& path) : library(path) {
    library.find("nvmlInit_v2", init);
    library.find("nvmlShutdown", shutdown);
    library.find("nvmlSystemGetDriverVersion", driver_version);
    library.find("nvmlDeviceGetHandleByPciBusId_v2", handle);
    library.find("nvmlDeviceGetMemoryInfo", memory);
  }
  Library library;
  int (*init)() = nullptr;
  int (*shutdown)() = nullptr;
  int (*driver_version)(char*, unsigned) = nullptr;
  int (*handle)(const char*, void**) = nullptr;
  int (*memory)(void*, NvmlMemory*) = nullptr;
};

// The device, or nothing where one of its questions goes unanswered.
std::optional<GpuDevice> describe(const Cuda& cuda, int index) {
  GpuDevice device;
  int handle = 0, sms = 0;
  char name[256] = {}, bus[32] = {};
  size_t total = 0;
  const bool answered = cuda.get(&handle, index) == 0 && cuda.name(name, sizeof(name) - 1, handle) == 0 &&
                        cuda.bus_id(bus, sizeof(bus) - 1, handle) == 0 &&
                        cuda.attribute(&device.compute_major, kAttributeMajor, handle) == 0 &&
                        cuda.attribute(&device.compute_minor, kAttributeMinor, handle) == 0 &&
                        cuda.attribute(&sms, kAttributeSmCount, handle) == 0 && cuda.total_memory(&total, handle) == 0;
  if (!answered) return std::nullopt;
  device.name = printable(name);
  device.bus_id = printable(bus);
  device.sm_count = sms;
  device.vram_total = static_cast<int64_t>(total);
  return device;
}

void ask_nvml(const std::string& path, GpuProbe& probe) {
  const Nvml nvml(path);
  if (!nvml.library.error().empty() || nvml.init() != 0) return;
  char version[96] = {};
  if (nvml.driver_version(version, sizeof(version) - 1) == 0) probe.driver_version = printable(version);
  for (GpuDevice& device : probe.devices) {
    void* handle = nullptr;
    NvmlMemory memory{};
    if (nvml.handle(device.bus_id.c_str(), &handle) == 0 && nvml.memory(handle, &memory) == 0) {
      device.vram_free = static_cast<int64_t>(memory.free);
    }
  }
  nvml.shutdown();
}

GpuProbe none(const std::string& why) {
  GpuProbe probe;
  probe.reason = "no GPU: " + why;
  return probe;
}

}  // namespace

GpuProbe probe_gpus(const GpuLibraries& libraries) {
  const Cuda cuda(libraries.cuda);
  if (!cuda.library.error().empty()) return none(cuda.library.error());
  if (const int error = cuda.init(0); error != 0) return none("cuInit failed with error " + std::to_string(error));
  GpuProbe probe;
  int version = 0, count = 0;
  if (cuda.version(&version) == 0) {  // 1000 * major + 10 * minor
    probe.cuda_version = std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
  }
  if (const int error = cuda.count(&count); error != 0) {
    return none("cuDeviceGetCount failed with error " + std::to_string(error));
  }
  for (int i = 0; i < count && i < kMaxDevices; ++i) {
    if (auto device = describe(cuda, i)) probe.devices.push_back(std::move(*device));
  }
  if (probe.devices.empty()) {
    probe.reason =
        count <= 0 ? "no GPU: the driver sees no device" : "no GPU: the driver does not describe its devices";
    return probe;
  }
  ask_nvml(libraries.nvml, probe);
  return probe;
}

HardwareCapabilities cuda_capabilities(const GpuDevice& device, const std::string& cuda_version,
                                       const CompiledKernelFeatures& features) {
  HardwareCapabilities h;
  h.backend = "cuda";
  if (!cuda_version.empty()) h.cuda_runtime = cuda_version;
  h.compute_capability = std::to_string(device.compute_major) + "." + std::to_string(device.compute_minor);
  h.vram_bytes = device.vram_total;
  h.sm_count = device.sm_count;
  h.supported_dtypes = {"fp32"};
  h.supported_kv_dtypes = {"fp16", "bf16", "fp32", "int8"};
  h.graph_support = features.cuda_graph;
  h.compiled_features = features;
  return h;
}

CudaHost cuda_host(const GpuProbe& probe, const std::string& reason, const CompiledKernelFeatures& features) {
  CudaHost host;
  host.reason = reason;
  host.driver = probe.driver_version;
  if (probe.devices.empty()) {
    if (host.reason.empty()) host.reason = probe.reason;
    return host;
  }
  const GpuDevice& device = probe.devices[0];
  host.name = device.name;
  host.free_memory = device.vram_free.value_or(device.vram_total);
  host.capabilities = cuda_capabilities(device, probe.cuda_version, features);
  return host;
}

}  // namespace ferrum
