// The key-value part of a GGUF file, and its typed look-ups.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"

namespace ferrum {

// The numbers are those in the file.
enum class GgufType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};
std::string_view to_string(GgufType type);  // "uint8", ..., "float64"

// Bytes of a value in the file: of a scalar its size, of strings and arrays the least they can take (their length
// fields). 0 for numbers that are no type.
size_t gguf_type_bytes(GgufType type);

// A metadata value. Integers of every width are held widened (unsigned types as uint64, signed as int64), arrays of
// scalars and strings as vectors; `type` / `element_type` keep what the file said. Arrays of arrays are refused.
struct GgufValue {
  GgufType type = GgufType::kUint32;
  GgufType element_type = GgufType::kUint32;  // of an array
  std::variant<uint64_t, int64_t, double, bool, std::string, std::vector<uint64_t>, std::vector<int64_t>,
               std::vector<double>, std::vector<bool>, std::vector<std::string>>
      data;

  size_t array_size() const;  // 0 for scalars
  // "uint32", "array of string": for messages.
  std::string type_name() const;
};

class GgufMetadata {
 public:
  // Keys in file order.
  const std::vector<std::string>& keys() const { return keys_; }
  const GgufValue* find(std::string_view key) const;  // nullptr if absent

  // False, and unchanged, if the key exists already.
  bool add(std::string key, GgufValue value);

  // Typed lookups. Absent: nullopt. Present with another type (an integer of any width counts as an integer, if the
  // value fits; ints do not count as floats): kCorrupt naming the key, the wanted and the found type.
  Result<std::optional<int64_t>> get_int(std::string_view key) const;
  Result<std::optional<double>> get_float(std::string_view key) const;
  Result<std::optional<bool>> get_bool(std::string_view key) const;
  Result<std::optional<std::string>> get_string(std::string_view key) const;
  // Arrays: pointers into this object, nullptr when absent.
  Result<const std::vector<std::string>*> get_strings(std::string_view key) const;
  Result<std::optional<std::vector<int64_t>>> get_ints(std::string_view key) const;
  Result<std::optional<std::vector<double>>> get_floats(std::string_view key) const;

 private:
  std::vector<std::string> keys_;
  std::map<std::string, GgufValue, std::less<>> values_;
};

}  // namespace ferrum
