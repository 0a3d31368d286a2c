#include "backend/cuda/device_matrix.h"

#include "backend/cuda/weight_packing.h"
#include "base/check.h"

namespace ferrum::cuda {
namespace {

// A matrix on its way.
struct Entry {
  const WeightRef* ref;
  PackedWeights packed;  // empty for types that are copied as they are stored
  StoredMatrix stored;
};

// visit(data on the host, bytes, the pointer that becomes theirs on the device) for each array there is.
template <typename Visit>
void for_each_array(Entry& e, const Visit& visit) {
  const auto of_vector = [&visit](const auto& from, auto& to) {
    if (!from.empty()) visit(from.data(), from.size() * sizeof(from[0]), to);
  };
  of_vector(e.packed.low, e.stored.quants.low);
  of_vector(e.packed.high, e.stored.quants.high);
  of_vector(e.packed.scales, e.stored.quants.scales);
  of_vector(e.packed.mins, e.stored.quants.mins);
  of_vector(e.packed.d, e.stored.quants.d);
  of_vector(e.packed.m, e.stored.quants.m);
  const ConstView &matrix = e.ref->matrix, &bias = e.ref->bias;
  if (e.packed.low.empty()) visit(matrix.data, bytes_of(matrix.dtype, matrix.elements()), e.stored.weights);
  if (bias.rank > 0) visit(bias.data, bytes_of(DType::kF32, bias.elements()), e.stored.bias);
}

Status copy_entries(Device& device, std::vector<Entry>& entries, Buffer& buffer) {
  size_t total = 0;
  for (Entry& e : entries)
    for_each_array(e, [&](const void*, size_t bytes, auto&) { total += aligned_on_device(bytes); });
  FERRUM_ASSIGN_OR_RETURN(buffer, device.allocate(total));
  auto* place = static_cast<std::byte*>(buffer.data());
  Status status;
  for (Entry& e : entries) {
    for_each_array(e, [&](const void* data, size_t bytes, auto& pointer) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(place);
      if (status.is_ok()) status = device.copy_to_device(place, data, bytes);
      place += aligned_on_device(bytes);
    });
  }
  FERRUM_RETURN_IF_ERROR(status);
  return device.synchronize();
}

}  // namespace

Result<DeviceMatrices> copy_matrices(Device& device, const std::vector<WeightRef>& weights) {
  std::vector<Entry> entries;
  for (const WeightRef& ref : weights) {
    entries.push_back({&ref, {}, {}});
    entries.back().stored.dtype = ref.matrix.dtype;
    if (format_index(ref.matrix.dtype) >= 0) entries.back().packed = pack_weights(ref.matrix);
  }
  DeviceMatrices out;
  const Status status = copy_entries(device, entries, out.buffer);
  if (!status.is_ok()) return status.with_context("tensor '" + weights[0].name + "'");
  for (const Entry& e : entries) out.matrices.push_back(e.stored);
  return out;
}

int64_t matrix_bytes(DType dtype, int64_t rows, int64_t columns) {
  if (format_index(dtype) < 0) return static_cast<int64_t>(aligned_on_device(bytes_of(dtype, rows * columns)));
  const PackedSizes n = packed_sizes(dtype, rows, columns);
  return static_cast<int64_t>(aligned_on_device(n.low * sizeof(uint32_t)) +
                              aligned_on_device(n.high * sizeof(uint16_t)) + aligned_on_device(n.scales) +
                              aligned_on_device(n.mins) + aligned_on_device(n.d * sizeof(uint16_t)) +
                              aligned_on_device(n.m * sizeof(uint16_t)));
}

}  // namespace ferrum::cuda
