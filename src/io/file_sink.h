// A file that is there whole or not at all.
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

#include "base/status.h"

namespace ferrum {

enum class FileAccess {
  kShared,   // as the umask allows
  kPrivate,  // the owner's alone
};

// Writes to a temporary file beside `path`; commit() puts it in its place, flushed to the disk, and replaces what was
// there. Without commit() it is removed again. Two that write to the same path do not meet: the last commit stays.
class FileSink {
 public:
  explicit FileSink(std::string path, FileAccess access = FileAccess::kShared);
  ~FileSink();
  FileSink(const FileSink&) = delete;
  FileSink& operator=(const FileSink&) = delete;

  Status write(const void* data, size_t bytes);
  Status commit();

 private:
  Status failed(const char* what) const;
  std::string path_;
  std::string temporary_;
  std::FILE* file_ = nullptr;
};

}  // namespace ferrum
