// One GGUF file's header, metadata and tensor table, checked. Internal to io/: callers use gguf.h.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/gguf_metadata.h"
#include "tensor/dtype.h"

namespace ferrum {

inline constexpr char kGgufMagic[4] = {'G', 'G', 'U', 'F'};
inline constexpr uint32_t kGgufVersion = 3;            // what the writer writes
inline constexpr uint64_t kGgufDefaultAlignment = 32;  // bytes, where general.alignment is absent
inline constexpr char kGgufAlignmentKey[] = "general.alignment";

struct GgufTensorInfo {
  std::string name;
  DType dtype = DType::kF32;
  int rank = 0;                             // 1 to 4
  std::array<int64_t, 4> dims{1, 1, 1, 1};  // innermost first, as in the file; all >= 1
  uint64_t offset = 0;                      // from data_begin; a multiple of the alignment
  uint64_t bytes = 0;                       // offset + bytes lies inside the file
};

struct GgufPart {
  uint32_t version = 0;
  uint64_t alignment = kGgufDefaultAlignment;
  GgufMetadata metadata;
  std::vector<GgufTensorInfo> tensors;  // in file order; they do not overlap, names are unique
  uint64_t data_begin = 0;              // of the tensor data, from the start of the file
};

// Errors say what and where in the file, without the file's name.
Result<GgufPart> parse_gguf_part(std::span<const std::byte> bytes);

}  // namespace ferrum
