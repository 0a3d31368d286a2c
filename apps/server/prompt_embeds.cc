#include "apps/server/prompt_embeds.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "apps/server/base64.h"
#include "base/check.h"
#include "tensor/float16.h"

namespace ferrum {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers in the file are little-endian");

constexpr size_t kLengthBytes = 8;
constexpr size_t kMaxHeader = 64 << 10;  // one tensor and some metadata

struct Tensor {
  std::string dtype;
  uint64_t rows = 0, width = 0;
  std::span<const std::byte> data;
};

// torch.save writes a zip archive, and older ones a bare pickle (protocol 2 to 5).
bool is_pickle(std::span<const std::byte> file) {
  const auto at = [&](size_t i) { return i < file.size() ? std::to_integer<int>(file[i]) : -1; };
  return (at(0) == 'P' && at(1) == 'K') || (at(0) == 0x80 && 2 <= at(1) && at(1) <= 5);
}

// The two unsigned numbers of an array.
bool read_pair(const Json& object, const char* name, uint64_t& first, uint64_t& second) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_array() || found->size() != 2) return false;
  if (!(*found)[0].is_number_unsigned() || !(*found)[1].is_number_unsigned()) return false;
  first = (*found)[0].get<uint64_t>();
  second = (*found)[1].get<uint64_t>();
  return true;
}

Result<Json> read_entry(const Json& header) {
  if (!header.is_object()) return invalid_argument("the safetensors header must be a JSON object");
  const Json* entry = nullptr;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") continue;
    if (entry != nullptr) return invalid_argument("the safetensors file must have one tensor, and it has several");
    entry = &value;
  }
  if (entry == nullptr) return invalid_argument("the safetensors file must have one tensor, and it has none");
  if (!entry->is_object()) return invalid_argument("the tensor's entry in the safetensors header must be an object");
  return *entry;
}

Result<Tensor> read_tensor(std::span<const std::byte> file, const JsonLimits& limits) {
  if (is_pickle(file)) {
    return invalid_argument(
        "this is a file of torch.save: such files can run code where they are read, and are not read here; send what "
        "safetensors.torch.save gives");
  }
  uint64_t length = 0;
  if (file.size() < kLengthBytes) {
    return invalid_argument("a safetensors file begins with 8 bytes of length, and " + std::to_string(file.size()) +
                            " bytes are there");
  }
  std::memcpy(&length, file.data(), kLengthBytes);
  file = file.subspan(kLengthBytes);
  if (length > std::min(kMaxHeader, file.size())) {
    return invalid_argument("the safetensors header is said to have " + std::to_string(length) + " bytes; " +
                            std::to_string(file.size()) + " are there, and at most " + std::to_string(kMaxHeader) +
                            " are allowed");
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()), length);
  const Result<Json> header = parse_json(text, limits);
  if (!header.is_ok()) return header.status().with_context("the safetensors header");
  FERRUM_ASSIGN_OR_RETURN(const Json entry, read_entry(*header));
  Tensor tensor;
  tensor.data = file.subspan(length);
  if (const auto dtype = entry.find("dtype"); dtype != entry.end() && dtype->is_string())
    tensor.dtype = dtype->get<std::string>();
  if (!read_pair(entry, "shape", tensor.rows, tensor.width))
    return invalid_argument("the tensor's shape must be [tokens, hidden size]");
  uint64_t begin = 0, end = 0;
  if (!read_pair(entry, "data_offsets", begin, end) || begin != 0 || end != tensor.data.size()) {
    return invalid_argument("the tensor's data_offsets must be [0, " + std::to_string(tensor.data.size()) +
                            "], all bytes behind the header");
  }
  return tensor;
}

// What `number` makes of each stored one.
template <typename Stored, typename Number>
std::vector<float> numbers_of(std::span<const std::byte> data, const Number& number) {
  std::vector<float> numbers(data.size() / sizeof(Stored));
  for (size_t i = 0; i < numbers.size(); ++i) {
    Stored stored;
    std::memcpy(&stored, data.data() + i * sizeof(Stored), sizeof(Stored));
    numbers[i] = number(stored);
  }
  return numbers;
}

}  // namespace

Result<std::vector<float>> read_prompt_embeds(std::string_view base64, int64_t hidden_size, const JsonLimits& limits) {
  FERRUM_CHECK(hidden_size > 0, "a model without hidden size");
  FERRUM_ASSIGN_OR_RETURN(const std::vector<std::byte> file, from_base64(base64));
  FERRUM_ASSIGN_OR_RETURN(const Tensor tensor, read_tensor(file, limits));
  const size_t size = tensor.dtype == "F32" ? 4 : tensor.dtype == "F16" || tensor.dtype == "BF16" ? 2 : 0;
  if (size == 0) {
    return invalid_argument("the tensor's dtype must be F32, F16 or BF16, not \"" + tensor.dtype.substr(0, 20) + "\"");
  }
  const auto width = static_cast<uint64_t>(hidden_size);
  if (tensor.width != width || tensor.rows == 0) {
    return invalid_argument("the tensor's shape is [" + std::to_string(tensor.rows) + ", " +
                            std::to_string(tensor.width) + "]; it must be [1 or more tokens, " +
                            std::to_string(hidden_size) + "], the model's hidden size");
  }
  const uint64_t row_bytes = width * size;
  if (tensor.data.size() % row_bytes != 0 || tensor.data.size() / row_bytes != tensor.rows) {
    return invalid_argument("the tensor's shape takes " + std::to_string(tensor.rows) + " rows of " +
                            std::to_string(row_bytes) + " bytes, and " + std::to_string(tensor.data.size()) +
                            " bytes are there");
  }
  std::vector<float> numbers = size == 4               ? numbers_of<float>(tensor.data, [](float x) { return x; })
                               : tensor.dtype == "F16" ? numbers_of<uint16_t>(tensor.data, f16_to_f32)
                                                       : numbers_of<uint16_t>(tensor.data, bf16_to_f32);
  const auto wrong = std::ranges::find_if_not(numbers, [](float x) { return std::isfinite(x); });
  if (wrong == numbers.end()) return numbers;
  const auto at = static_cast<uint64_t>(wrong - numbers.begin());
  return invalid_argument("the tensor is NaN or infinite at [" + std::to_string(at / width) + ", " +
                          std::to_string(at % width) + "]; all numbers must be finite");
}

}  // namespace ferrum
