#include "engine/bench_report.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace ferrum {
namespace {

std::string formatted(const char* format, double a, double b = 0) {
  char text[64];
  std::snprintf(text, sizeof text, format, a, b);
  return text;
}

bool memory_bound(const BenchRow& row) { return row.limit.memory_seconds >= row.limit.compute_seconds; }

std::string binding(const BenchRow& row) {
  if (row.limit_seconds <= 0) return "unknown";
  return memory_bound(row) ? "memory" : "compute";
}

double fraction(const BenchRow& row, const BenchRates& rates) {
  return row.limit_rate() > 0 ? rates.median / row.limit_rate() : 0;
}

// Files name their model themselves: anything may be in it.
std::string table_cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out;
}

std::string markdown_head() {
  return "| model | size | params | threads | step | kv | sequences | test | tok/s | median | limit | of limit | by |\n"
         "| :-- | --: | --: | --: | --: | :-- | --: | :-- | --: | --: | --: | --: | :-- |\n";
}

std::string markdown_row(const BenchRow& row) {
  const BenchRates rates = summarise(row.rates());
  std::string line = "| " + table_cell(row.model);
  const auto cell = [&](const std::string& text) { line += " | " + text; };
  cell(formatted("%.1f MiB", static_cast<double>(row.model_bytes) / (1 << 20)));
  cell(formatted("%.1f M", static_cast<double>(row.parameters) / 1e6));
  cell(std::to_string(row.threads));
  cell(std::to_string(row.step_tokens));
  cell(row.kv_dtype);
  cell(std::to_string(row.test.parallel));
  cell(row.test.name());
  cell(formatted("%.2f ± %.2f", rates.mean, rates.deviation));
  cell(formatted("%.2f", rates.median));
  cell(row.limit_rate() > 0 ? formatted("%.1f", row.limit_rate()) : "-");
  cell(row.limit_rate() > 0 ? formatted("%.0f %%", 100 * fraction(row, rates)) : "-");
  cell(binding(row));
  return line + " |\n";
}

std::string machine_line(const BenchRow& row) {
  const PeakRates& peak = row.machine.peak;
  std::string line = "\nMachine with " + std::to_string(row.threads) + " threads, measured in this run: reads " +
                     formatted("%.1f GB/s", row.machine.bandwidth / 1e9) + ", computes " +
                     formatted("%.0f GOP/s int8, %.0f GFLOP/s f32", peak.int8 / 1e9, peak.f32 / 1e9);
  if (peak.bf16 > 0) line += formatted(", %.0f GFLOP/s bf16", peak.bf16 / 1e9);
  return line + ". Backend: " + row.backend + ".\n";
}

nlohmann::ordered_json as_json(const BenchRow& row, const std::string& build) {
  const BenchRates rates = summarise(row.rates());
  const bool limited = row.limit_rate() > 0;
  return {
      {"build", build},
      {"model", row.model},
      {"model_bytes", row.model_bytes},
      {"parameters", row.parameters},
      {"backend", row.backend},
      {"threads", row.threads},
      {"step_tokens", row.step_tokens},
      {"kv_dtype", row.kv_dtype},
      {"test", row.test.name()},
      {"n_prompt", row.test.prompt},
      {"n_gen", row.test.generate},
      {"n_depth", row.test.depth},
      {"n_parallel", row.test.parallel},
      {"samples_ts", row.rates()},
      {"avg_ts", rates.mean},
      {"stddev_ts", rates.deviation},
      {"median_ts", rates.median},
      {"limit_ts", limited ? nlohmann::ordered_json(row.limit_rate()) : nlohmann::ordered_json(nullptr)},
      {"fraction_of_limit", limited ? nlohmann::ordered_json(fraction(row, rates)) : nlohmann::ordered_json(nullptr)},
      {"limited_by", binding(row)},
      {"read_bandwidth", row.machine.bandwidth},
      {"peak_int8", row.machine.peak.int8},
      {"peak_f32", row.machine.peak.f32},
      {"peak_bf16", row.machine.peak.bf16}};
}

std::string dumped(const nlohmann::ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// The members of the JSON object as columns; strings quoted, the list of samples joined by spaces.
std::string csv_line(const nlohmann::ordered_json& object, bool names) {
  std::string line;
  for (const auto& [name, value] : object.items()) {
    std::string text = names ? name : value.is_string() ? value.get<std::string>() : dumped(value);
    if (value.is_null() && !names) text.clear();
    if (value.is_array() && !names) {
      text.clear();
      for (const auto& sample : value) {
        if (!text.empty()) text += ' ';
        text += dumped(sample);
      }
    }
    if (!line.empty()) line += ',';
    const bool quote = !names && (value.is_string() || value.is_array());
    if (quote) line += '"';
    for (char c : text) line.append(c == '"' ? 2 : 1, c);
    if (quote) line += '"';
  }
  return line + "\n";
}

}  // namespace

std::optional<BenchFormat> bench_format_from_name(std::string_view name) {
  if (name == "md") return BenchFormat::kMarkdown;
  if (name == "csv") return BenchFormat::kCsv;
  if (name == "json") return BenchFormat::kJson;
  if (name == "jsonl") return BenchFormat::kJsonLines;
  return std::nullopt;
}

std::string BenchReport::row(const BenchRow& row) {
  const bool first = rows_++ == 0;
  switch (format_) {
    case BenchFormat::kMarkdown: {
      const std::string machine = machine_line(row);
      if (machines_.find(machine) == std::string::npos) machines_ += machine;
      return (first ? markdown_head() : "") + markdown_row(row);
    }
    case BenchFormat::kCsv: {
      const nlohmann::ordered_json object = as_json(row, build_);
      return (first ? csv_line(object, true) : "") + csv_line(object, false);
    }
    case BenchFormat::kJson: return std::string(first ? "[\n" : ",\n") + dumped(as_json(row, build_), 2);
    case BenchFormat::kJsonLines: return dumped(as_json(row, build_)) + "\n";
  }
  return "";
}

std::string BenchReport::end() {
  if (format_ == BenchFormat::kMarkdown) return machines_;
  if (format_ == BenchFormat::kJson) return rows_ > 0 ? "\n]\n" : "[]\n";
  return "";
}

}  // namespace ferrum
