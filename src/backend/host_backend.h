// What the backends that compute on the host have in common: their device memory is ordinary memory, so placing,
// uploading and downloading are the identity.
#pragma once

#include <cstring>

#include "ops/backend.h"
#include "tensor/host_memory.h"

namespace ferrum {

class HostBackend : public Backend {
 public:
  // KV and activations, which steps use from the front.
  Result<Buffer> allocate(size_t bytes) override { return host_memory(bytes, HostUse::kFromFront); }
  Result<ConstView> place(ConstView host) override { return host; }
  Result<DeviceBatch> upload(const Batch& batch) override { return host_views(batch); }
  Status copy_to_host(void* to, const void* from, size_t bytes) override { return copy(to, from, bytes); }
  Status copy_to_device(void* to, const void* from, size_t bytes) override { return copy(to, from, bytes); }
  Status copy_on_device(void* to, const void* from, size_t bytes) override { return copy(to, from, bytes); }
  Result<ConstView> download(ConstView device) override { return device; }

 private:
  static Status copy(void* to, const void* from, size_t bytes) {
    std::memcpy(to, from, bytes);
    return Status::ok();
  }
};

// Whether `spec` is something a Linear can be made of: parts of rank 2 with one common number of columns that is a
// whole number of blocks, biases f32 [out] or absent. kCorrupt or kInvalidArgument naming the tensor otherwise.
Status validate_linear(const LinearSpec& spec);

// Likewise for experts: at least one, at most kMaxExperts, of one shape, gate and up as wide as down is deep.
Status validate_experts(const ExpertsSpec& spec);

// Rows [begin, end) of Ops::route(), and what these tokens add to its load.
void route_rows(const RouteArgs& args, int64_t begin, int64_t end);
void count_load(const RouteArgs& args);

// Rows of all parts together. The spec must be valid.
int64_t total_rows(const LinearSpec& spec);

}  // namespace ferrum
