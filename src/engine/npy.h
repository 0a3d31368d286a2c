// Writing a float32 matrix as a NumPy file, row by row.
//
// Source: the NPY format, version 1.0 (numpy.lib.format).
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"

namespace ferrum {

class NpyWriter {
 public:
  // Creates or overwrites the file for a [rows, cols] matrix. kIo with the path and the system's reason.
  static Result<NpyWriter> create(const std::string& path, int64_t rows, int64_t cols);

  // The next row; `values` has `cols` elements, and there are at most `rows` rows (asserted).
  Status write_row(std::span<const float> values);
  // Flushes and closes; all rows must have been written (asserted). Without it the file is incomplete.
  Status finish();

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  NpyWriter(std::FILE* file, std::string path, int64_t rows, int64_t cols)
      : file_(file), path_(std::move(path)), rows_left_(rows), cols_(cols) {}
  Status failure() const;

  std::unique_ptr<std::FILE, Close> file_;
  std::string path_;
  int64_t rows_left_;
  int64_t cols_;
};

}  // namespace ferrum
