// A driver for gpu_probe_test: both libraries in one file, built as shared libraries with different numbers. Not part
// of the product.
#include <cstddef>
#include <cstring>

#ifndef FAKE_DEVICES
#define FAKE_DEVICES 1
#endif
#ifndef FAKE_INIT_ERROR
#define FAKE_INIT_ERROR 0
#endif

extern "C" {

int cuInit(unsigned) { return FAKE_INIT_ERROR; }
int cuDriverGetVersion(int* version) { return *version = 12040, 0; }
int cuDeviceGetCount(int* count) { return *count = FAKE_DEVICES, 0; }
int cuDeviceGet(int* device, int index) { return *device = 100 + index, 0; }
int cuDeviceGetName(char* name, int size, int) {
  return std::strncpy(name, "Fake RTX\n", static_cast<size_t>(size)), 0;
}
int cuDeviceGetPCIBusId(char* id, int size, int device) {
  std::strncpy(id, device == 100 ? "0000:01:00.0" : "0000:02:00.0", static_cast<size_t>(size));
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int) {
  switch (attribute) {
    case 16: *value = 128; return 0;
    case 75: *value = 8; return 0;
    case 76: *value = 9; return 0;
    default: return 1;
  }
}
#ifndef FAKE_OLD_DRIVER
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t{24} << 30, 0; }
#endif

struct Memory {
  unsigned long long total, free, used;
};
int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
int nvmlSystemGetDriverVersion(char* version, unsigned size) { return std::strncpy(version, "550.54.15", size), 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char* bus, void** handle) {
  static int device = 0;
  *handle = &device;
  return std::strcmp(bus, "0000:01:00.0") == 0 ? 0 : 1;
}
int nvmlDeviceGetMemoryInfo(void*, Memory* memory) {
  *memory = {24ULL << 30, 20ULL << 30, 4ULL << 30};
  return 0;
}

}  // extern "C"
