#include "tensor/dtype.h"

#include <algorithm>
#include <cctype>
#include <limits>
#include <string>

#include "base/check.h"

namespace ferrum {
namespace {

// Types of the format that Ferrum refuses, so that the refusal can name them.
struct NamedType {
  uint32_t ggml_type;
  std::string_view name;
};
constexpr NamedType kUnsupported[] = {
    {9, "Q8_1"},   {16, "IQ2_XXS"}, {17, "IQ2_XS"}, {18, "IQ3_XXS"}, {19, "IQ1_S"}, {21, "IQ3_S"},
    {22, "IQ2_S"}, {29, "IQ1_M"},   {34, "TQ1_0"},  {35, "TQ2_0"},   {40, "NVFP4"},
};

constexpr bool in_enum_order() {
  for (size_t i = 0; i < kDTypeTable.size(); ++i) {
    if (static_cast<size_t>(kDTypeTable[i].dtype) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());

}  // namespace

std::span<const DTypeInfo> all_dtypes() { return kDTypeTable; }

const DTypeInfo& info(DType dtype) {
  const auto index = static_cast<size_t>(dtype);
  FERRUM_DCHECK(index < kDTypeTable.size(), "DType out of range");
  return kDTypeTable[index];
}

std::optional<DType> dtype_from_ggml(uint32_t ggml_type) {
  for (const DTypeInfo& t : kDTypeTable) {
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
  for (const DTypeInfo& t : kDTypeTable) {
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
