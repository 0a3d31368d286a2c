// A read-only file mapping. The file must not shrink while it is mapped: reading past its new end kills the process, as
// with every mapping. Replace model files by renaming, not by writing over them.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/status.h"

namespace ferrum {

class MappedFile {
 public:
  // kNotFound / kIo with the path and the system's reason. Directories, pipes, devices and empty files are refused.
  static Result<MappedFile> open(const std::string& path);

  MappedFile(MappedFile&& o) noexcept;
  MappedFile& operator=(MappedFile&& o) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  const std::string& path() const { return path_; }

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  std::string path_;
};

}  // namespace ferrum
