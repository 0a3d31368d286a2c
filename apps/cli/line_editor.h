// Reading lines from a terminal with editing and history (libedit).
#pragma once

#include <memory>
#include <string>

namespace ferrum {

class LineEditor {
 public:
  // history_file: kept between sessions, created with its directories, readable by the user alone; "" = none.
  explicit LineEditor(std::string history_file);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class Outcome { kLine, kInterrupted, kEnd };  // Ctrl-C; Ctrl-D on an empty line or a closed terminal
  // `line` is without the newline.
  Outcome read(const std::string& prompt, std::string& line);
  void remember(const std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ferrum
