#include "backend/cuda/cuda_backend.h"

#include <cstring>

#include "backend/host_backend.h"

namespace ferrum::cuda {
namespace {

// The arrays of a DeviceBatch.
constexpr ConstView DeviceBatch::*kArrays[] = {
    &DeviceBatch::tokens,  &DeviceBatch::embeddings,   &DeviceBatch::positions,
    &DeviceBatch::slots,   &DeviceBatch::token_rows,   &DeviceBatch::cu_q,
    &DeviceBatch::kv_lens, &DeviceBatch::block_tables, &DeviceBatch::logit_rows};

size_t bytes_in(const ConstView& v) { return v.rank == 0 ? 0 : bytes_of(v.dtype, v.elements()); }

}  // namespace

CudaBackend::CudaBackend(std::unique_ptr<Device> device, const KernelTable& kernels, const BackendLimits& limits)
    : queue_(std::move(device), kernels), ops_(queue_), limits_(limits) {}

std::string CudaBackend::describe() const {
  const DeviceFacts& facts = const_cast<Queue&>(queue_).device().facts();
  return "cuda (" + facts.name + ", sm_" + std::to_string(facts.compute_capability) + ")";
}

bool CudaBackend::supports(DType) const { return true; }

Result<std::unique_ptr<Linear>> CudaBackend::make_linear(LinearSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_linear(spec));
  return make_cuda_linear(spec, queue_, activations_, limits_.max_tokens);
}

Result<std::unique_ptr<Experts>> CudaBackend::make_experts(ExpertsSpec spec) {
  FERRUM_RETURN_IF_ERROR(validate_experts(spec));
  if (limits_.resident_experts > 0) {
    return unsupported(
        "backend 'cuda' keeps all experts in the memory of the device; unset FERRUM_EXPERT_CACHE, or use backend "
        "'cpu'");
  }
  return make_cuda_experts(spec, queue_, expert_scratch_, limits_.max_tokens);
}

Result<ConstView> CudaBackend::place(ConstView host) {
  FERRUM_CHECK(host.is_contiguous(), "a host array with gaps");
  FERRUM_ASSIGN_OR_RETURN(Buffer buffer, copy_of(queue_.device(), host.data, bytes_in(host)));
  host.data = buffer.data();
  placed_.push_back(std::move(buffer));
  return host;
}

Status CudaBackend::grow(Buffer& buffer, size_t bytes, bool pinned) {
  if (buffer.bytes() >= bytes) return Status::ok();
  FERRUM_RETURN_IF_ERROR(queue_.device().synchronize());
  const size_t more = bytes + bytes / 2;
  FERRUM_ASSIGN_OR_RETURN(buffer, pinned ? queue_.device().allocate_pinned(more) : queue_.device().allocate(more));
  return Status::ok();
}

Result<DeviceBatch> CudaBackend::upload(const Batch& batch) {
  if (upload_in_flight_) FERRUM_RETURN_IF_ERROR(queue_.device().synchronize());
  DeviceBatch arrays = host_views(batch);
  size_t total = 0;
  for (const auto array : kArrays) total += aligned_on_device(bytes_in(arrays.*array));
  FERRUM_RETURN_IF_ERROR(grow(staging_, total, true));
  FERRUM_RETURN_IF_ERROR(grow(uploaded_, total, false));
  size_t at = 0;
  for (const auto array : kArrays) {
    ConstView& view = arrays.*array;
    const size_t bytes = bytes_in(view);
    if (bytes > 0) std::memcpy(static_cast<std::byte*>(staging_.data()) + at, view.data, bytes);
    view.data = static_cast<std::byte*>(uploaded_.data()) + at;
    at += aligned_on_device(bytes);
  }
  FERRUM_RETURN_IF_ERROR(queue_.device().copy_to_device(uploaded_.data(), staging_.data(), total));
  upload_in_flight_ = true;
  return arrays;
}

Status CudaBackend::finish(Status last) {
  queue_.note(std::move(last));
  queue_.note(queue_.device().synchronize());
  upload_in_flight_ = false;
  return queue_.take_status();
}

Status CudaBackend::copy_to_host(void* host, const void* device, size_t bytes) {
  return finish(queue_.device().copy_to_host(host, device, bytes));
}
Status CudaBackend::copy_to_device(void* device, const void* host, size_t bytes) {
  return finish(queue_.device().copy_to_device(device, host, bytes));
}
Status CudaBackend::copy_on_device(void* to, const void* from, size_t bytes) {
  return queue_.device().copy_on_device(to, from, bytes);
}

Result<ConstView> CudaBackend::download(ConstView device) {
  FERRUM_CHECK(device.is_contiguous(), "a download of rows with gaps");
  const size_t bytes = bytes_in(device);
  FERRUM_RETURN_IF_ERROR(grow(downloaded_, bytes, true));
  FERRUM_RETURN_IF_ERROR(copy_to_host(downloaded_.data(), device.data, bytes));
  device.data = downloaded_.data();
  return device;
}

}  // namespace ferrum::cuda
