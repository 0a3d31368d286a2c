// Rows of `ferrum bench` as text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "engine/bench.h"

namespace ferrum {

enum class BenchFormat { kMarkdown, kCsv, kJson, kJsonLines };
std::optional<BenchFormat> bench_format_from_name(std::string_view name);  // "md", "csv", "json", "jsonl"

// Gives the text of each row as soon as it is known, with what the format wants before the first; end() is the rest.
class BenchReport {
 public:
  // build: what this binary is, for the machine-readable formats.
  BenchReport(BenchFormat format, std::string build) : format_(format), build_(std::move(build)) {}

  std::string row(const BenchRow& row);
  std::string end();

 private:
  const BenchFormat format_;
  const std::string build_;
  int rows_ = 0;
  std::string machines_;  // of markdown: a line per number of threads, below the table
};

}  // namespace ferrum
