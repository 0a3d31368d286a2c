// Writing GGUF files, version 3, little endian, in one file or several.
#pragma once

#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/gguf_metadata.h"
#include "tensor/view.h"

namespace ferrum {

// Collects metadata and tensors, then writes them. Keys and tensors keep the order in which they were set.
class GgufWriter {
 public:
  // Sets or replaces a key. Checked when writing: the value must fit its type. "general.alignment" (uint32) sets the
  // alignment of the file; the split.* keys are the writer's own.
  void set(std::string_view key, GgufValue value);
  void set_uint32(std::string_view key, uint32_t value);
  void set_float32(std::string_view key, float value);
  void set_bool(std::string_view key, bool value);
  void set_string(std::string_view key, std::string value);
  void set_strings(std::string_view key, std::vector<std::string> values);
  void set_int32s(std::string_view key, std::span<const int32_t> values);
  void set_float32s(std::string_view key, std::span<const float> values);
  // Every key of another file, except split.*.
  void copy_metadata(const GgufMetadata& metadata);

  // The data are read when writing and must live until then. kInvalidArgument: empty or repeated name, a rank outside 1
  // to 4, an empty dimension, rows that are not contiguous or not whole blocks.
  Status add_tensor(std::string name, const ConstView& view);

  // Writes to a temporary file beside `path` and renames it, so that no half-written model is ever seen under the name.
  Status write(const std::string& path) const;
  // Parts named <prefix>-00001-of-0000N.gguf, each with tensors of at most max_part_bytes together (at least one
  // tensor); the first has the metadata. Returns their paths.
  Result<std::vector<std::string>> write_split(const std::string& prefix, uint64_t max_part_bytes) const;
  // The file in memory.
  Result<std::vector<std::byte>> to_bytes() const;

 private:
  struct Entry {
    std::string key;
    GgufValue value;
  };
  struct Tensor {
    std::string name;
    ConstView view;
    uint64_t bytes;
  };
  class Part;  // what goes into one file
  Result<Part> whole() const;
  Result<uint64_t> alignment() const;
  // Consecutive tensors of at most max_bytes together, at least one each; one empty group where there are none.
  std::vector<std::span<const Tensor>> group_tensors(uint64_t max_bytes) const;

  std::vector<Entry> entries_;
  std::vector<Tensor> tensors_;
  std::set<std::string, std::less<>> names_;
};

}  // namespace ferrum
