#include "tensor/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>
#include <string>

#include "base/check.h"

namespace ferrum {
namespace {

// Sizes follow the block layouts of ggml's quantisation formats; src/quant/blocks.h asserts them against its structs.
constexpr std::array<DTypeInfo, 22> kTypes = {{
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

// Types of the format that Ferrum refuses, so that the refusal can name them.
struct NamedType { uint32_t ggml_type; std::string_view name; };
constexpr NamedType kUnsupported[] = {
    {9, "Q8_1"},     {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},
    {22, "IQ2_S"},   {29, "IQ1_M"},   {34, "TQ1_0"},  {35, "TQ2_0"},   {40, "NVFP4"},
};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (static_cast<size_t>(kTypes[i].dtype) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

}  // namespace

std::span<const DTypeInfo> all_dtypes() { return kTypes; }

const DTypeInfo& info(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  FERRUM_DCHECK(index < kTypes.size(), "DType out of range");
  return kTypes[index];
}

std::optional<DType> dtype_from_ggml(uint32_t ggml_type) {
  for (const DTypeInfo& t : kTypes) {
    if (t.ggml_type == ggml_type) return t.dtype;
  }
  return std::nullopt;
}

std::string_view ggml_type_name(uint32_t ggml_type) {
  if (const auto dtype = dtype_from_ggml(ggml_type)) return info(*dtype).name;
  for (const NamedType& t : kUnsupported) {
    if (t.ggml_type == ggml_type) return t.name;
  }
  return "";
}

std::optional<DType> dtype_from_name(std::string_view name) {
  const auto same = [](char a, char b) {
    return std::toupper(static_cast<unsigned char>(a)) == std::toupper(static_cast<unsigned char>(b));
  };
  for (const DTypeInfo& t : kTypes) {
    if (std::equal(t.name.begin(), t.name.end(), name.begin(), name.end(), same)) return t.dtype;
  }
  return std::nullopt;
}

size_t bytes_of(DType dtype, int64_t elements) {
  const std::optional<int64_t> bytes = checked_bytes(dtype, elements);
  FERRUM_CHECK(bytes.has_value(), std::string(to_string(dtype)) + " x " + std::to_string(elements));
  return static_cast<size_t>(*bytes);
}

std::optional<int64_t> checked_bytes(DType dtype, int64_t elements) {
  const DTypeInfo& t = info(dtype);
  if (elements < 0 || elements % t.block_elements != 0) return std::nullopt;
  const int64_t blocks = elements / t.block_elements;
  if (blocks > std::numeric_limits<int64_t>::max() / t.block_bytes) return std::nullopt;
  return blocks * t.block_bytes;
}

}  // namespace ferrum
