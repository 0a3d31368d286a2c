// Element types, plain and block-quantised: the one table of names, sizes and GGUF numbers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace ferrum {

enum class DType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kI8,
  kI16,
  kI32,
  kI64,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kQ8_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;  // as ggml writes it: "F32", "Q4_K"
  uint32_t ggml_type;     // the number in a GGUF tensor info
  int block_elements;     // elements per block; 1 for plain types
  int block_bytes;        // bytes per block
  bool quantized;
};

// In enum order. Sizes follow the block layouts of ggml's quantisation formats; quant/blocks.h asserts its structs
// against them at compile time.
inline constexpr std::array<DTypeInfo, 22> kDTypeTable = {{
    {DType::kF32, "F32", 0, 1, 4, false},
    {DType::kF16, "F16", 1, 1, 2, false},
    {DType::kBF16, "BF16", 30, 1, 2, false},
    {DType::kF64, "F64", 28, 1, 8, false},
    {DType::kI8, "I8", 24, 1, 1, false},
    {DType::kI16, "I16", 25, 1, 2, false},
    {DType::kI32, "I32", 26, 1, 4, false},
    {DType::kI64, "I64", 27, 1, 8, false},
    {DType::kQ4_0, "Q4_0", 2, 32, 18, true},
    {DType::kQ4_1, "Q4_1", 3, 32, 20, true},
    {DType::kQ5_0, "Q5_0", 6, 32, 22, true},
    {DType::kQ5_1, "Q5_1", 7, 32, 24, true},
    {DType::kQ8_0, "Q8_0", 8, 32, 34, true},
    {DType::kQ2_K, "Q2_K", 10, 256, 84, true},
    {DType::kQ3_K, "Q3_K", 11, 256, 110, true},
    {DType::kQ4_K, "Q4_K", 12, 256, 144, true},
    {DType::kQ5_K, "Q5_K", 13, 256, 176, true},
    {DType::kQ6_K, "Q6_K", 14, 256, 210, true},
    {DType::kQ8_K, "Q8_K", 15, 256, 292, true},
    {DType::kIQ4_NL, "IQ4_NL", 20, 32, 18, true},
    {DType::kIQ4_XS, "IQ4_XS", 23, 256, 136, true},
    {DType::kMXFP4, "MXFP4", 39, 32, 17, true},
}};

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
