#include "engine/npy.h"

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/quote.h"

namespace ferrum {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

// Magic, version, length of the rest, a Python dictionary, spaces so that the data start on a multiple of 64, newline.
std::string header(int64_t rows, int64_t cols) {
  std::string dictionary = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  dictionary += std::to_string(rows) + ", " + std::to_string(cols) + "), }";
  constexpr size_t kPreamble = 10;
  const size_t unpadded = kPreamble + dictionary.size() + 1;
  dictionary.append((64 - unpadded % 64) % 64, ' ');
  dictionary += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(dictionary.size() & 0xff);
  bytes += static_cast<char>(dictionary.size() >> 8);
  return bytes + dictionary;
}

}  // namespace

Status NpyWriter::failure() const {
  return io_error("cannot write " + ferrum::quoted(path_) + ": " + std::strerror(errno));
}

Result<NpyWriter> NpyWriter::create(const std::string& path, int64_t rows, int64_t cols) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  NpyWriter writer(file, path, rows, cols);
  if (file == nullptr) return writer.failure();
  const std::string head = header(rows, cols);
  if (std::fwrite(head.data(), 1, head.size(), file) != head.size()) return writer.failure();
  return writer;
}

Status NpyWriter::write_row(std::span<const float> values) {
  FERRUM_CHECK(static_cast<int64_t>(values.size()) == cols_ && rows_left_ > 0,
               "a row that the header did not announce");
  --rows_left_;
  if (std::fwrite(values.data(), sizeof(float), values.size(), file_.get()) != values.size()) return failure();
  return Status::ok();
}

Status NpyWriter::finish() {
  FERRUM_CHECK(rows_left_ == 0, "rows are missing");
  if (std::fclose(file_.release()) != 0) return failure();  // the last bytes may fail only here: a full disk
  return Status::ok();
}

}  // namespace ferrum
