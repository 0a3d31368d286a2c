// Names and metadata of models in several files, as llama.cpp's gguf-split writes them. Internal to io/.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/status.h"
#include "io/gguf_metadata.h"

namespace ferrum {

inline constexpr char kSplitNumberKey[] = "split.no";              // uint16, from 0
inline constexpr char kSplitCountKey[] = "split.count";            // uint16
inline constexpr char kSplitTensorsKey[] = "split.tensors.count";  // int32, of all parts together

// What a file's metadata say of the set it belongs to.
struct SplitInfo {
  int64_t number = 0;  // from 0
  int64_t count = 1;
  int64_t tensors = -1;  // of all parts; -1 when not said
};

// A file without the keys, or with a count of 0, is a set of one. kCorrupt if the keys contradict each other.
Result<SplitInfo> read_split_info(const GgufMetadata& metadata);

// "dir/name-00002-of-00005.gguf" is {"dir/name", 1, 5}.
struct SplitName {
  std::string prefix;
  int64_t number = 0;  // from 0
  int64_t count = 0;
};
// nullopt if the name has not this form.
std::optional<SplitName> parse_split_name(std::string_view path);
std::string make_split_name(const std::string& prefix, int64_t number, int64_t count);

}  // namespace ferrum
