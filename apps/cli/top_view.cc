#include "apps/cli/top_view.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

namespace ferrum {
namespace {

using Json = nlohmann::json;

constexpr int kLabel = 12;  // characters before a graph
constexpr size_t kRecent = 5;

// What came over the network must not steer the terminal.
std::string plain(const Json& value) {
  std::string text = value.get<std::string>();
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), std::abs(value) >= 100 || value == std::floor(value) ? "%.0f" : "%.1f", value);
  return text;
}

std::string padded(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

std::string time_text(const Json& seconds) {
  if (seconds.is_null()) return "-";
  const double value = seconds.get<double>();
  return value < 1 ? number(value * 1000) + " ms" : number(value) + " s";
}

// The newest values, as many as fit; the tallest is the largest one or `top`.
std::string graph(std::vector<double> values, int width, double top = 0) {
  static const char* const kBars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const size_t shown = std::min(values.size(), static_cast<size_t>(std::max(width, 1)));
  values.erase(values.begin(), values.end() - static_cast<std::ptrdiff_t>(shown));
  for (const double value : values) top = std::max(top, value);
  std::string out;
  for (const double value : values) {
    const double level = top > 0 ? std::ceil(std::clamp(value / top, 0.0, 1.0) * 8) : 0;
    out += kBars[static_cast<int>(level)];
  }
  return out;
}

std::vector<double> column(const Json& list, const char* name) {
  std::vector<double> values;
  for (const Json& entry : list) values.push_back(entry.at(name).get<double>());
  return values;
}

double recent_mean(const std::vector<double>& values) {
  const size_t count = std::min(values.size(), kRecent);
  double sum = 0;
  for (size_t i = values.size() - count; i < values.size(); ++i) sum += values[i];
  return count == 0 ? 0 : sum / static_cast<double>(count);
}

std::string graph_line(std::string label, const std::vector<double>& values, const std::string& now, int columns,
                       double top = 0) {
  label.resize(kLabel, ' ');
  const int width = columns - kLabel - 2 - static_cast<int>(now.size());
  return label + graph(values, std::min(width, 120), top) + "  " + now + "\n";
}

std::string phase_line(const Json& steps) {
  std::string out = "step        ";
  double all = 0;
  std::vector<std::pair<std::string, double>> sums;
  for (const char* phase : {"plan", "draft", "build", "forward", "sample", "deliver"}) {
    double sum = 0;
    for (const Json& step : steps) sum += step.at("phases_ms").at(phase).get<double>();
    all += sum;
    sums.emplace_back(phase, sum);
  }
  if (steps.empty()) return out + "none yet\n";
  out += number(all / static_cast<double>(steps.size())) + " ms:";
  for (const auto& [phase, sum] : sums) {
    if (sum == 0) continue;  // no draft model
    out += "  " + phase + " " + number(100 * sum / std::max(all, 1e-9)) + " %";
  }
  return out + "\n";
}

std::string request_line(const Json& r) {
  const Json& per_token = r.at("token_ms");
  return padded(std::to_string(r.at("id").get<uint64_t>()), 7) + "  " +
         plain(r.at("state")).append(10, ' ').substr(0, 10) + padded(number(r.at("prompt_tokens").get<double>()), 8) +
         padded(number(r.at("generated").get<double>()), 8) + padded(time_text(r.at("first_token_seconds")), 11) +
         padded(per_token.is_null() ? "-" : number(per_token.get<double>()) + " ms", 11) +
         padded(time_text(r.at("seconds")), 10) + padded(number(r.at("preemptions").get<double>()), 6) + "\n";
}

std::string draw(const Json& stats, int columns, int rows) {
  const Json& engine = stats.at("engine");
  const Json& seconds = stats.at("seconds");
  const Json& steps = stats.at("steps");
  const auto ratio = [&](const char* part, const char* whole) {
    return number(engine.at(part).get<double>()) + " of " + number(engine.at(whole).get<double>());
  };
  std::string out = plain(engine.at("description")).substr(0, static_cast<size_t>(columns)) + "\n\n";
  const auto generated = column(seconds, "generated"), prompt = column(seconds, "prompt_tokens");
  out += graph_line("tokens/s", generated, number(recent_mean(generated)), columns);
  out += graph_line("prompt/s", prompt, number(recent_mean(prompt)), columns);
  std::vector<double> occupancy;
  for (const Json& s : seconds)
    occupancy.push_back(s.at("rows").get<double>() / std::max(1.0, s.at("steps").get<double>()));
  out += graph_line("rows/step", occupancy, ratio("running", "max_seqs") + " running", columns);
  out += graph_line("waiting", column(seconds, "max_waiting"), ratio("waiting", "max_waiting"), columns);
  out += graph_line("KV blocks", column(seconds, "max_kv_blocks_used"), ratio("kv_blocks_used", "kv_blocks_total"),
                    columns, engine.at("kv_blocks_total").get<double>());
  out += phase_line(steps);
  const Json& totals = stats.at("totals");
  out += "total       " + number(totals.at("requests_finished").get<double>()) + " requests  " +
         number(totals.at("generated_tokens").get<double>()) + " tokens  " + number(totals.at("steps").get<double>()) +
         " steps  " + number(totals.at("preemptions").get<double>()) + " preemptions\n";
  out += "\n     id  state       prompt  answer  first token  per token      time   pre\n";
  int left = rows - static_cast<int>(std::count(out.begin(), out.end(), '\n'));
  for (const Json& request : stats.at("requests")) {
    if (left-- <= 0) break;
    out += request_line(request);
  }
  return out;
}

}  // namespace

Result<std::string> render_top(const Json& stats, int columns, int rows) {
  try {
    return draw(stats, std::max(columns, 40), rows);
  } catch (const Json::exception& e) {  // another server, or another version
    return corrupt(std::string("not the figures of a ferrum server: ") + e.what());
  }
}

}  // namespace ferrum
