// A backend: a device's memory, its Ops and its Linear. The registry (backend/registry.h) makes one by name.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/experts.h"
#include "ops/linear.h"
#include "ops/ops.h"
#include "types/expert_cache.h"
#include "types/kernel_choice.h"

namespace ferrum {

struct BackendLimits {
  int max_tokens = 512;  // rows of any view handed to an op or Linear in one call; scratch is sized once from it
  // Rows from which the tokens of an expert are gathered and computed together (docs/moe.md); changes no result.
  int expert_batch_threshold = 4;
  // Experts of a layer that have a place in memory; the others are read from the file when a step needs them. 0 = all.
  // At least as many as a token has, where it is not 0.
  int resident_experts = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;  // "reference", "cpu"
  virtual std::string describe() const = 0;   // for people: "cpu (avx512-vnni, 2 threads)"
  virtual bool supports(DType weight_type) const = 0;
  // Names what the bits of its results depend on beside their inputs, for weights of these types: "cpu", "cpu-mmap".
  // What one backend computed, another of the same name may go on with.
  virtual std::string arithmetic(std::span<const DType> /*weights*/) const { return std::string(name()); }
  // Since the start; by any thread.
  virtual ExpertCacheCounts expert_cache() const { return {}; }
  // What the parity gate looked at; empty where there was none.
  virtual std::vector<KernelChoice> kernel_choices() const { return {}; }

  // The one Ops of this backend; used by one thread at a time.
  virtual Ops& ops() = 0;
  // Refuses (kUnsupported, kCorrupt) types or shapes it cannot compute, naming the tensor.
  virtual Result<std::unique_ptr<Linear>> make_linear(LinearSpec spec) = 0;
  virtual Result<std::unique_ptr<Experts>> make_experts(ExpertsSpec spec) = 0;

  // Zeroed device memory.
  virtual Result<Buffer> allocate(size_t bytes) = 0;
  // Makes a host array of a file usable on the device. CPU backends return the view itself.
  virtual Result<ConstView> place(ConstView host) = 0;
  // The step's arrays on the device; valid until the next call and as long as `batch` lives.
  virtual Result<DeviceBatch> upload(const Batch& batch) = 0;
  // Bytes of device memory, in order with the ops. copy_to_host() waits until they are there; copy_to_device() has read
  // them when it returns. After a failure nobody knows what lies where they should be. Ops return nothing: the first of
  // them that failed, and a copy_on_device() that fails later than it returns, are reported by the next of
  // copy_to_host(), copy_to_device() and download(), once.
  [[nodiscard]] virtual Status copy_to_host(void* host, const void* device, size_t bytes) = 0;
  [[nodiscard]] virtual Status copy_to_device(void* device, const void* host, size_t bytes) = 0;
  [[nodiscard]] virtual Status copy_on_device(void* to, const void* from, size_t bytes) = 0;
  // Waits for the device and gives host-readable rows; valid until the next call.
  virtual Result<ConstView> download(ConstView device) = 0;
};

// The arrays of `batch` as views of its own memory: what upload() is on a CPU.
DeviceBatch host_views(const Batch& batch);

}  // namespace ferrum
