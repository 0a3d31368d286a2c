// Element types, plain and block-quantised: the one table of names, sizes and GGUF numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ferrum {

enum class DType : uint8_t {
  kF32, kF16, kBF16, kF64, kI8, kI16, kI32, kI64,
  kQ4_0, kQ4_1, kQ5_0, kQ5_1, kQ8_0,
  kQ2_K, kQ3_K, kQ4_K, kQ5_K, kQ6_K, kQ8_K,
  kIQ4_NL, kIQ4_XS, kMXFP4,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;   // as ggml writes it: "F32", "Q4_K"
  uint32_t ggml_type;      // the number in a GGUF tensor info
  int block_elements;      // elements per block; 1 for plain types
  int block_bytes;         // bytes per block
  bool quantized;
};

// All types Ferrum can hold, in enum order.
std::span<const DTypeInfo> all_dtypes();

const DTypeInfo& info(DType dtype);
inline std::string_view to_string(DType dtype) { return info(dtype).name; }

// The type with this GGUF number; nullopt for types that Ferrum does not support.
std::optional<DType> dtype_from_ggml(uint32_t ggml_type);
// The ggml name of any GGUF type number ever assigned ("IQ2_XXS", also the unsupported); "" for unknown numbers.
std::string_view ggml_type_name(uint32_t ggml_type);
// Case-insensitive: "q4_k", "f16".
std::optional<DType> dtype_from_name(std::string_view name);

// Bytes of `elements` consecutive elements. elements must be a multiple of the block size and the product must fit
// (both asserted); check untrusted numbers with checked_bytes instead.
size_t bytes_of(DType dtype, int64_t elements);
// nullopt if elements is negative, not a multiple of the block size, or the bytes overflow int64.
std::optional<int64_t> checked_bytes(DType dtype, int64_t elements);

}  // namespace ferrum
