// Reading GGUF files (versions 2 and 3, little endian), memory-mapped.
//
// Source: the GGUF specification (ggml/docs/gguf.md). Nothing in a file is trusted: every count, length, dimension,
// offset and alignment is checked against the file's size before it is used, no memory is reserved on the word of a
// count, and GgufLimits bounds what even a large file can make us hold.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/gguf_metadata.h"
#include "tensor/view.h"

namespace ferrum {

// Per file, far above what real models use (a vocabulary has 3e5 entries, a large MoE 1e5 tensors).
struct GgufLimits {
  static constexpr uint64_t kKeys = 65'536;
  static constexpr uint64_t kArrayElements = 1 << 24;            // of all arrays together
  static constexpr uint64_t kStringBytes = uint64_t{256} << 20;  // of all strings together
  static constexpr uint64_t kTensors = 1 << 20;                  // also of all parts together
  static constexpr uint64_t kKeyBytes = 65'535;                  // the specification's limit
  static constexpr uint64_t kTensorNameBytes = 1'024;  // the specification says 64; some converters write more
  static constexpr int kParts = 4'096;
};

struct GgufTensor {
  std::string name;
  // Shape outermost first (the file stores it reversed): a matrix is [out_features, in_features]. A scalar is [1].
  ConstView view;       // points into the mapping; aligned to the file's alignment, at least 8 bytes
  int part = 0;         // index of the split file it is in
  uint64_t offset = 0;  // in that file's tensor data
  size_t bytes = 0;
  bool mapped = false;  // the view is of a read-only mapping of a file
};

// The bytes of one file. `owner` keeps them alive (a mapping, a vector); with none, the caller does.
struct GgufSource {
  std::string name;                  // for messages
  std::span<const std::byte> bytes;  // at least 8-byte aligned
  std::shared_ptr<const void> owner;
  bool mapped = false;  // a read-only mapping of a file

  static GgufSource from_vector(std::string name, std::vector<std::byte> bytes);
};

// Immutable after construction; may be read from any thread. Metadata is that of the first part.
class Gguf : public GgufMetadata {
 public:
  // Opens a file; when its metadata say it is one of several parts (name-00001-of-0000N.gguf), all of them: any part
  // may be named. Errors name file, key or tensor, and what to do.
  static Result<std::shared_ptr<const Gguf>> open(const std::string& path);
  // The same from memory: all parts of one model, in order. At least one.
  static Result<std::shared_ptr<const Gguf>> from_sources(std::vector<GgufSource> sources);

  const std::string& path() const { return sources_.front().name; }  // of the first part
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  int parts() const { return static_cast<int>(sources_.size()); }
  uint64_t file_bytes() const;  // of all parts
  const std::string& part_name(int part) const { return sources_[static_cast<size_t>(part)].name; }

  // Of a tensor of this file: where it begins in the file of its part.
  uint64_t file_offset(const GgufTensor& tensor) const;

  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const GgufTensor* find_tensor(std::string_view name) const;  // nullptr if absent

 private:
  struct Loaded;  // sources with what was parsed from them
  Gguf() = default;
  static Result<std::shared_ptr<const Gguf>> assemble(std::vector<Loaded> parts);

  uint32_t version_ = 0;
  uint64_t alignment_ = 0;
  std::vector<GgufSource> sources_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t, std::less<>> tensor_index_;
};

}  // namespace ferrum
