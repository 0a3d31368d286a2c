#include "io/mmap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/quote.h"

namespace ferrum {
namespace {

Status system_error(const std::string& path, const char* what) {
  const int error = errno;
  const std::string message = "cannot " + std::string(what) + " " + quoted(path, 4096) + ": " + std::strerror(error);
  return error == ENOENT || error == ENOTDIR ? not_found(message) : io_error(message);
}

// Maps the open file; leaves closing it to the caller.
Result<std::span<const std::byte>> map(int fd, const std::string& path) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return system_error(path, "examine");
  if (S_ISDIR(info.st_mode)) return invalid_argument(quoted(path, 4096) + " is a directory, not a file");
  if (!S_ISREG(info.st_mode)) return invalid_argument(quoted(path, 4096) + " is not a regular file");
  if (info.st_size == 0) return corrupt(quoted(path, 4096) + " is empty");
  const auto size = static_cast<size_t>(info.st_size);
  void* data = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (data == MAP_FAILED) return system_error(path, "map");
  return std::span<const std::byte>(static_cast<const std::byte*>(data), size);
}

}  // namespace

Result<MappedFile> MappedFile::open(const std::string& path) {
  // O_NONBLOCK: opening a pipe without a writer would wait for ever; it means nothing to a regular file.
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return system_error(path, "open");
  auto bytes = map(fd, path);
  ::close(fd);
  if (!bytes.is_ok()) return std::move(bytes).status();
  MappedFile file;
  file.data_ = bytes->data();
  file.size_ = bytes->size();
  file.path_ = path;
  return file;
}

MappedFile::MappedFile(MappedFile&& o) noexcept
    : data_(std::exchange(o.data_, nullptr)), size_(std::exchange(o.size_, 0)), path_(std::move(o.path_)) {}

MappedFile& MappedFile::operator=(MappedFile&& o) noexcept {
  std::swap(data_, o.data_);
  std::swap(size_, o.size_);
  std::swap(path_, o.path_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace ferrum
