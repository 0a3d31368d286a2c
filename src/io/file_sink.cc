#include "io/file_sink.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/quote.h"

namespace ferrum {

FileSink::FileSink(std::string path, FileAccess access) : path_(std::move(path)) {
  static std::atomic<unsigned> files{0};
  temporary_ = path_ + "." + std::to_string(getpid()) + "-" + std::to_string(files++) + ".part";
  const mode_t mode = access == FileAccess::kPrivate ? 0600 : 0666;
  const int descriptor = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (descriptor < 0) return;
  file_ = fdopen(descriptor, "wb");
  if (file_ == nullptr) close(descriptor);
}

FileSink::~FileSink() {
  if (file_ == nullptr) return;
  std::fclose(file_);
  std::remove(temporary_.c_str());
}

Status FileSink::write(const void* data, size_t bytes) {
  if (file_ == nullptr || std::fwrite(data, 1, bytes, file_) != bytes) return failed("write");
  return Status::ok();
}

Status FileSink::commit() {
  if (file_ == nullptr) return failed("write");
  const bool flushed = std::fflush(file_) == 0 && fsync(fileno(file_)) == 0;
  const bool closed = std::fclose(std::exchange(file_, nullptr)) == 0;
  if (flushed && closed && std::rename(temporary_.c_str(), path_.c_str()) == 0) return Status::ok();
  const Status status = failed(flushed && closed ? "rename" : "write");
  std::remove(temporary_.c_str());
  return status;
}

Status FileSink::failed(const char* what) const {
  return io_error("cannot " + std::string(what) + " " + quoted(temporary_, 4096) + ": " + std::strerror(errno));
}

}  // namespace ferrum
