// Reading GGUF files (versions 2 and 3, little endian), memory-mapped.
//
// Source: the GGUF specification (ggml/docs/gguf.md). Nothing in a file is trusted: every count, length, dimension,
// offset and alignment is checked against the file's size before it is used, and no memory is reserved on the word of a
// count.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/status.h"
#include "io/mmap.h"
#include "tensor/view.h"

namespace ferrum {

enum class GgufType : uint32_t {
  kUint8 = 0, kInt8 = 1, kUint16 = 2, kInt16 = 3, kUint32 = 4, kInt32 = 5, kFloat32 = 6, kBool = 7, kString = 8,
  kArray = 9, kUint64 = 10, kInt64 = 11, kFloat64 = 12,
};
std::string_view to_string(GgufType type);

// A metadata value. Integers of every width are held widened (unsigned types as uint64, signed as int64), arrays of
// scalars and strings as vectors; `type` / `element_type` keep what the file said. Arrays of arrays are refused.
struct GgufValue {
  GgufType type = GgufType::kUint32;
  GgufType element_type = GgufType::kUint32;  // of an array
  std::variant<uint64_t, int64_t, double, bool, std::string,
               std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>, std::vector<bool>,
               std::vector<std::string>> data;
};

struct GgufTensor {
  std::string name;
  // Shape outermost first (the file stores it reversed): a matrix is [out_features, in_features].
  ConstView view;      // points into the mapping
  int part = 0;        // index of the split file it is in
  uint64_t offset = 0; // in that file's tensor data
  size_t bytes = 0;
};

class Gguf {
 public:
  // Opens a file; when its name or metadata say it is one of several parts (-00001-of-0000N.gguf), all of them: any part
  // may be named. Errors name file, key or tensor, and what to do.
  static Result<std::shared_ptr<const Gguf>> open(const std::string& path);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  int parts() const { return static_cast<int>(maps_.size()); }
  uint64_t file_bytes() const;  // of all parts

  // Keys in file order (of the first part).
  const std::vector<std::string>& keys() const { return keys_; }
  const GgufValue* find(std::string_view key) const;  // nullptr if absent

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

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;  // nullptr if absent

 private:
  friend class GgufParser;
  Gguf() = default;

  std::string path_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  std::vector<MappedFile> maps_;
  std::vector<std::string> keys_;
  std::map<std::string, GgufValue, std::less<>> metadata_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace ferrum
