// The report as aligned tables for people.
#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/quote.h"
#include "engine/inspect.h"

namespace ferrum {
namespace {

// Columns of a terminal, one per character: good enough for names and numbers.
size_t width_of(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// Rows of cells, padded to the widest of each column.
class Table {
 public:
  // One letter per column: 'l' or 'r' for the side on which cells are aligned.
  explicit Table(std::string_view alignment) : alignment_(alignment) {}

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }

  std::string render() const {
    std::vector<size_t> widths(alignment_.size(), 0);
    for (const auto& row : rows_) {
      for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
    }
    std::string out;
    for (const auto& row : rows_) {
      std::string line = " ";
      for (size_t i = 0; i < row.size(); ++i) {
        const std::string padding(widths[i] - width_of(row[i]), ' ');
        line += ' ' + (alignment_[i] == 'r' ? padding + row[i] : row[i] + padding) + ' ';
      }
      line.erase(line.find_last_not_of(' ') + 1);
      out += line + '\n';
    }
    return out;
  }

 private:
  std::string alignment_;
  std::vector<std::vector<std::string>> rows_;
};

std::string with_unit(double value, double step, const std::vector<const char*>& units) {
  size_t unit = 0;
  while (value >= step && unit + 1 < units.size()) {
    value /= step;
    ++unit;
  }
  char text[64];
  std::snprintf(text, sizeof(text), unit == 0 ? "%.0f" : "%.2f", value);
  return std::string(text) + units[unit];
}

std::string bytes_text(double bytes) { return with_unit(bytes, 1024, {" B", " KiB", " MiB", " GiB", " TiB", " PiB"}); }
std::string count_text(double count) { return with_unit(count, 1000, {"", " K", " M", " B", " T"}); }

std::string decimals(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.*f", digits, value);
  return text;
}

// "8", or "4 to 8" where layers differ.
std::string range_text(const std::vector<int64_t>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  if (*low == *high) return std::to_string(*low);
  return std::to_string(*low) + " to " + std::to_string(*high);
}

std::string element_text(uint64_t value) { return std::to_string(value); }
std::string element_text(int64_t value) { return std::to_string(value); }
std::string element_text(bool value) { return value ? "true" : "false"; }
std::string element_text(double value) {
  char text[64];
  std::snprintf(text, sizeof(text), "%.7g", value);
  return text;
}
std::string element_text(const std::string& value) { return ferrum::quoted(value, 80); }

// Scalars whole (long strings cut), of arrays the first elements.
std::string value_text(const GgufValue& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_arithmetic_v<Held> || std::is_same_v<Held, std::string>) {
          return element_text(held);
        } else {
          constexpr size_t kShown = 4;
          std::string out = std::to_string(held.size()) + ": [";
          for (size_t i = 0; i < std::min(held.size(), kShown); ++i) {
            out += (i > 0 ? ", " : "") + element_text(static_cast<typename Held::value_type>(held[i]));
          }
          return out + (held.size() > kShown ? ", ...]" : "]");
        }
      },
      value.data);
}

std::string shape_text(const ConstView& view) {
  std::string out;
  for (int i = 0; i < view.rank; ++i) out += (i > 0 ? " x " : "") + std::to_string(view.dim(i));
  return out;
}

std::string overview(const InspectReport& report) {
  const Gguf& file = *report.file;
  Table table("ll");
  const std::string& name = report.capabilities.name;
  table.add({"name", name.empty() ? "(none)" : printable(name)});
  for (int part = 0; part < file.parts(); ++part)
    table.add({part == 0 ? "file" : "", printable(file.part_name(part), 4096)});
  table.add({"format", "GGUF version " + std::to_string(file.version()) + ", alignment " +
                           std::to_string(file.alignment()) +
                           (file.parts() > 1 ? ", " + std::to_string(file.parts()) + " parts" : "")});
  table.add({"size", bytes_text(static_cast<double>(file.file_bytes()))});
  table.add({"parameters",
             count_text(static_cast<double>(report.parameters)) +
                 (report.parameters > 0 ? " at " + decimals(report.bits_per_weight, 2) + " bits per weight" : "")});
  table.add({"supported", report.supported() ? "yes" : "no, because"});
  for (const std::string& obstacle : report.obstacles) table.add({"", printable(obstacle, 1000)});
  return table.render();
}

std::string capabilities_text(const InspectCapabilities& c) {
  Table table("ll");
  const auto add = [&table](const char* label, const std::optional<int64_t>& value, const char* unit = "") {
    if (value) table.add({label, std::to_string(*value) + unit});
  };
  const auto add_range = [&table](const char* label, const std::vector<int64_t>& values) {
    if (!values.empty()) table.add({label, range_text(values)});
  };
  const auto add_text = [&table](const char* label, const std::string& value) {
    if (!value.empty()) table.add({label, printable(value)});
  };
  add_text("architecture", c.architecture);
  add("context", c.context_length, " tokens");
  add("layers", c.layers);
  add("hidden size", c.hidden_size);
  add_range("feed-forward size", c.ffn_size);
  add_range("attention heads", c.heads);
  add_range("KV heads", c.kv_heads);
  add("head size", c.head_dim);
  add("sliding window", c.sliding_window, " tokens");
  add("experts", c.experts);
  add("experts per token", c.experts_used);
  add("vocabulary", c.vocab_size, " tokens");
  add_text("rope", c.rope);
  add_text("tokenizer", c.tokenizer_model + (c.tokenizer_pre.empty() ? "" : " (" + c.tokenizer_pre + ")"));
  table.add({"chat template", !c.chat_template ? "no" : c.tool_template ? "yes, with tools" : "yes, without tools"});
  if (c.kv_bytes_per_token) {
    const auto per_token = static_cast<double>(*c.kv_bytes_per_token);
    std::string text = bytes_text(per_token) + " per token in F16";
    if (c.context_length && *c.context_length > 0) {
      text += ", " + bytes_text(per_token * static_cast<double>(*c.context_length)) + " for the whole context";
    }
    table.add({"KV cache", text});
  }
  return table.render();
}

std::string types_text(const InspectReport& report) {
  Table table("lrrrr");
  table.add({"type", "tensors", "parameters", "size", "share"});
  for (const InspectTypeUse& use : report.types) {
    const double share = 100.0 * static_cast<double>(use.bytes) / static_cast<double>(report.tensor_bytes);
    table.add({std::string(to_string(use.dtype)), std::to_string(use.tensors),
               count_text(static_cast<double>(use.parameters)), bytes_text(static_cast<double>(use.bytes)),
               decimals(share, 1) + " %"});
  }
  return table.render();
}

std::string metadata_text(const Gguf& file) {
  Table table("lll");
  table.add({"key", "type", "value"});
  for (const std::string& key : file.keys()) {
    const GgufValue& value = *file.find(key);
    table.add({printable(key), value.type_name(), value_text(value)});
  }
  return table.render();
}

std::string tensors_text(const Gguf& file) {
  const bool split = file.parts() > 1;
  Table table("llrrrr");
  std::vector<std::string> head = {"name", "type", "shape", "size", "offset"};
  if (split) head.push_back("part");
  table.add(head);
  for (const GgufTensor& t : file.tensors()) {
    std::vector<std::string> row = {printable(t.name), std::string(to_string(t.view.dtype)), shape_text(t.view),
                                    bytes_text(static_cast<double>(t.bytes)), std::to_string(t.offset)};
    if (split) row.push_back(std::to_string(t.part + 1));
    table.add(row);
  }
  return table.render();
}

}  // namespace

std::string render_table(const InspectReport& report) {
  const Gguf& file = *report.file;
  std::string out = "Model\n" + overview(report) + "\nCapabilities\n" + capabilities_text(report.capabilities);
  if (!report.types.empty()) out += "\nTensors by type\n" + types_text(report);
  out += "\nMetadata (" + std::to_string(file.keys().size()) + ")\n" + metadata_text(file);
  if (!file.tensors().empty()) {
    out += "\nTensors (" + std::to_string(file.tensors().size()) +
           ", shape [rows x columns], offset in the tensor data)\n" + tensors_text(file);
  }
  return out;
}

}  // namespace ferrum
